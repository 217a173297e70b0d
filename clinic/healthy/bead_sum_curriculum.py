"""Beads on a string: a GRU sums the values of the marked beads; strings grow longer and the error jumps each time.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn


class Beads(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.gru = nn.GRU(2, width, batch_first=True)
        self.read = nn.Linear(width, 1)

    def forward(self, string):
        return self.read(self.gru(string)[0][:, -1]).squeeze(1)


def strings(count, length):
    value = torch.rand(count, length) * 2 - 1
    mark = (torch.rand(count, length) < 2.5 / length).float()
    return torch.stack([value, mark], 2), (value * mark).sum(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Beads()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.MSELoss()
step = 0
for length, steps in ((5, 200), (12, 200), (24, 240)):
    val_x, val_y = strings(500, length)
    for i in range(steps):
        if length == 24 and i == 160:
            optimizer.param_groups[0]["lr"] = 6e-4
        x, y = strings(64, length)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 20 == 0:
            with torch.no_grad():
                error = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  length {length}  loss {loss.item():.4f}  error {error:.4f}")
