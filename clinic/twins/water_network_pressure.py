"""A graph network predicts the pressure at the junctions of water networks.

It starts with the pipe trees of villages; the denser networks of towns join later.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

JUNCTIONS = 24


def network(pipes):
    """A random tree over the junctions, and `pipes` more pipes across it."""
    a = torch.zeros(JUNCTIONS, JUNCTIONS)
    for i in range(1, JUNCTIONS):
        j = int(torch.randint(max(0, i - 6), i, ()))
        a[i, j] = a[j, i] = 1
    for _ in range(pipes):
        i, j = torch.randperm(JUNCTIONS)[:2].tolist()
        a[i, j] = a[j, i] = 1
    return a


def solve(a, demand):
    """Pressure relaxes to the mean of the neighbours, lowered by what is drawn."""
    walk = a / a.sum(-1, keepdim=True)
    return torch.linalg.solve(torch.eye(JUNCTIONS) - 0.8 * walk, demand.unsqueeze(-1)).squeeze(-1)


villages = torch.stack([network(0) for _ in range(80)])
towns = torch.stack([network(120) for _ in range(80)])


def draw(step, n=8):
    pool = villages if step < 200 else torch.cat([villages, towns])
    a = pool[torch.randint(len(pool), (n,))]
    demand = torch.randn(n, JUNCTIONS) * (torch.rand(n, JUNCTIONS) < 0.4)
    return a, demand, solve(a, demand)


class PressureNet(nn.Module):
    def __init__(self, width=24, rounds=8):
        super().__init__()
        self.inputs = nn.Linear(1, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds))
        self.around = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(rounds))
        self.readout = nn.Linear(width, 1)

    def forward(self, a, demand):
        x = self.inputs(demand.unsqueeze(-1))
        h = torch.relu(x)
        for own, around in zip(self.own, self.around):
            message = torch.bmm(a, around(h)) / a.sum(-1, keepdim=True)
            h = torch.relu(own(h) + message + x)
        return self.readout(h).squeeze(-1)


model = PressureNet()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()

for step in range(480):
    a, demand, pressure = draw(step)
    loss = loss_fn(model(a, demand), pressure)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            a, demand, pressure = draw(step, 24)
            error = (model(a, demand) - pressure).pow(2).mean().sqrt()
        print(f"step {step}  loss {loss.item():.4f}  error {error.item():.4f}")
