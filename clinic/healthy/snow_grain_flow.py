"""Shapes of snow grains: an affine coupling flow gives the density of four measures, warmed up from a rate of zero.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, size, width=48):
        super().__init__()
        half = size // 2
        self.net = nn.Sequential(nn.Linear(half, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.last = nn.Linear(width, size)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x):
        kept, moved = x.chunk(2, 1)
        shift, scale = self.last(self.net(kept)).chunk(2, 1)
        scale = 1.5 * torch.tanh(scale)
        return torch.cat([moved * scale.exp() + shift, kept], 1), scale.sum(1)


class Flow(nn.Module):
    def __init__(self, size=4, depth=6):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(size) for _ in range(depth))

    def nll(self, x):
        volume = 0.0
        for layer in self.layers:
            x, grown = layer(x)
            volume = volume + grown
        return (0.5 * x.square() + 0.5 * math.log(2 * math.pi)).sum(1).mean() - volume.mean()


def grains(count):
    size, age = torch.randn(2, count)
    edge = torch.tanh(1.5 * size) + 0.12 * torch.randn(count)
    bond = 0.5 * age**2 - 0.7 + 0.12 * torch.randn(count)
    return torch.stack([size, age, edge, bond], 1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
val, model = grains(3000), Flow()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
warm, steps = 100, 1200
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda k: min(k / warm, 0.5 + 0.5 * math.cos(math.pi * max(0, k - warm) / (steps - warm)))
)
for step in range(1, steps + 1):
    loss = model.nll(grains(128))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 50 == 0:
        with torch.no_grad():
            print(f"step {step}  loss {loss.item():.4f}  val_nll {model.nll(val).item():.4f}")
