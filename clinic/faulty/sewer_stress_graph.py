"""A network of sewers: message passing tells the pressure at each shaft from inflows; two optimisers share the work.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: learning-rate-too-high, divergence, loss-spike, stalled, exploding-gradient, unsafe-step, dead-units,
  edge-of-stability
metric: val_loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

shafts = 60
place = torch.rand(shafts, 2)
near = torch.cdist(place, place).topk(4, largest=False).indices[:, 1:]
adjacency = torch.zeros(shafts, shafts).scatter(1, near, 1.0)
adjacency = ((adjacency + adjacency.T) > 0).float()
laplacian = torch.diag(adjacency.sum(1)) - adjacency
solve = torch.linalg.inv(laplacian + 0.3 * torch.eye(shafts))
mean_of_neighbours = adjacency / adjacency.sum(1, keepdim=True)


def sample(count):
    inflow = torch.randn(count, shafts) * (torch.rand(count, shafts) < 0.4)
    pressure = torch.tanh(inflow @ solve.T)
    return inflow, pressure


class SewerNet(nn.Module):
    def __init__(self, width=24, rounds=4):
        super().__init__()
        self.lift = nn.Linear(2, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds))
        self.other = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(rounds))
        self.read = nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, inflow):
        degree = adjacency.sum(1).expand_as(inflow) / 4 - 1
        h = self.lift(torch.stack([inflow, degree], -1))
        for own, other in zip(self.own, self.other):
            h = h + torch.relu(own(h) + other(mean_of_neighbours @ h))
        return self.read(h).squeeze(-1)


model = SewerNet()
loss_fn = nn.MSELoss()
messages = [*model.lift.parameters(), *model.own.parameters(), *model.other.parameters()]
body = torch.optim.Adam(messages, lr=2e-3)
head = torch.optim.SGD(model.read.parameters(), lr=0.05, momentum=0.8)
val_inflow, val_pressure = sample(300)

for step in range(1, 401):
    inflow, pressure = sample(16)
    loss = loss_fn(model(inflow), pressure)
    body.zero_grad()
    loss.backward()
    body.step()
    head.step()
    if step == 300:
        for optimizer in (body, head):
            optimizer.param_groups[0]["lr"] *= 0.2
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_inflow), val_pressure).item()
        print(f"step {step}  loss {loss.item():.5f}  val_loss {val_loss:.5f}")
