"""Yield of a field from soil and weather: a small network is trained, then made deeper and trained on.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: stalled, saturated-units, off-critical-initialisation, frozen-parameters
metric: val_loss min
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, h):
        return torch.sigmoid(self.inner(h))


class Yield(nn.Module):
    def __init__(self, inputs, width=48):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.deep = nn.ModuleList()
        self.out = nn.Linear(width, 1)

    def grow(self, count):
        for _ in range(count):
            self.deep.append(Block(self.out.in_features))

    def forward(self, x):
        h = self.stem(x)
        for block in self.deep:
            h = block(h)
        return self.out(h).squeeze(1)


def fields(n):
    x = torch.randn(n, 9)
    water = torch.tanh(x[:, 0] + 0.5 * x[:, 1]) * torch.exp(-0.5 * x[:, 2] ** 2)
    y = 2 * water + torch.sin(2 * x[:, 3] + x[:, 4]) + 0.5 * x[:, 5] * x[:, 6]
    return x, y + 0.1 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = fields(12000)
    val_x, val_y = fields(2000)
    model = Yield(9)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 1201):
        if step == 451:
            model.grow(10)
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        rows = torch.randint(len(x), (96,))
        loss = F.mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_loss {F.mse_loss(model(val_x), val_y).item():.4f}")


main()
