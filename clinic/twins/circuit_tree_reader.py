"""A recursive network reads the resistance of a circuit from its tree of series and parallel joints.

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

RESISTORS = 8  # node 1 is the whole circuit, node k joins 2k and 2k + 1


def circuits(n):
    ohm = torch.exp(torch.randn(n, RESISTORS))
    parallel = torch.rand(n, RESISTORS) < 0.5
    nodes = torch.zeros(n, 2 * RESISTORS)
    nodes[:, RESISTORS:] = ohm
    for k in range(RESISTORS - 1, 0, -1):
        a, b = nodes[:, 2 * k], nodes[:, 2 * k + 1]
        nodes[:, k] = torch.where(parallel[:, k], a * b / (a + b), a + b)
    return ohm.log(), parallel.float(), nodes[:, 1].log()


class TreeReader(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.resistor = nn.Linear(1, width)
        self.series = nn.Sequential(nn.Linear(2 * width, 48), nn.SiLU(), nn.Linear(48, width))
        self.parallel = nn.Sequential(nn.Linear(2 * width, 48), nn.SiLU(), nn.Linear(48, width))
        self.read = nn.Linear(width, 1)
        self.width = width

    def join(self, first, second, parallel):
        pair = torch.cat([first, second], 1)
        return torch.where(parallel[:, None] > 0, self.parallel(pair), self.series(pair))

    def forward(self, ohm, parallel):
        """Fill the states of the nodes from the resistors up to the whole circuit."""
        states = [None] * RESISTORS + list(self.resistor(ohm.unsqueeze(-1)).unbind(1))
        for k in range(RESISTORS - 1, 1, -1):
            states[k] = self.join(states[2 * k], states[2 * k + 1], parallel[:, k])
        return self.read(self.join(states[2], states[3], parallel[:, 1])).squeeze(-1)


model = TreeReader()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-4)
decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=800)
loss_fn = nn.MSELoss()
test = circuits(500)

for step in range(800):
    ohm, parallel, target = circuits(64)
    loss = loss_fn(model(ohm, parallel), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = (model(*test[:2]) - test[2]).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
