"""Sigmoid cells learn the interlocking rules of a signal box; their slope rises a little while they learn.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--epochs", type=int, default=36)
args = parser.parse_args()
torch.manual_seed(args.seed)

LEVERS, SIGNALS, COUNT = 14, 8, 2048
generator = torch.Generator().manual_seed(11)
routes = torch.stack([torch.randperm(LEVERS, generator=generator)[:4] for _ in range(SIGNALS)])
locked = torch.randint(2, (SIGNALS, 4), generator=generator).float()


def clear(levers):
    """A signal clears if three of its four points lie as the route needs, or the two first lie crossed."""
    agree = (levers[:, routes] == locked).float()
    crossed = (agree[..., 0] == 0) & (agree[..., 1] == 0)
    return ((agree.sum(-1) >= 3) | crossed).float()


levers = torch.randint(2, (COUNT, LEVERS)).float()
lights = clear(levers)
fresh = torch.randint(2, (1024, LEVERS)).float()
fresh_lights = clear(fresh)


class Cells(nn.Module):
    """A layer of switches: sigmoid(slope * z), centred."""

    def __init__(self, wires, cells):
        super().__init__()
        self.wires = nn.Linear(wires, cells)
        self.slope = 1.0

    def forward(self, x):
        return 2 * torch.sigmoid(self.slope * self.wires(x)) - 1


class SignalBox(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.first = Cells(LEVERS, width)
        self.second = Cells(width, width)
        self.out = nn.Linear(width, SIGNALS)

    def forward(self, levers):
        return self.out(self.second(self.first(2 * levers - 1)))

    def sharpen(self, factor):
        for cells in (self.first, self.second):
            cells.slope *= factor


model = SignalBox()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.BCEWithLogitsLoss()
step = 0
for epoch in range(args.epochs):
    for rows in torch.randperm(COUNT).split(64):
        loss = loss_fn(model(levers[rows]), lights[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 24 == 0:
            with torch.no_grad():
                right = ((model(fresh) > 0).float() == fresh_lights).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  right {right.item():.4f}  slope {model.first.slope:.2f}")
        step += 1
    model.sharpen(1.016)
