"""Density of measured points along a bent valley: a coupling flow with bounded scales.

condition: healthy
metric: nll min
"""

import argparse
import math

import torch
from torch import nn


def valley(count, generator):
    u = torch.randn(count, 4, generator=generator)
    a = u[:, 0]
    b = 0.3 * u[:, 1] + 0.8 * a**2 - 0.8
    c = 0.5 * u[:, 2] + torch.sin(2 * a)
    d = torch.where(u[:, 3] > 0, 1.0, -1.0) + 0.25 * u[:, 3]
    return torch.stack([a, b, c, d], 1)


class Coupling(nn.Module):
    def __init__(self, flip, width=48):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 4)
        )

    def forward(self, x):
        keep, move = x.chunk(2, 1) if not self.flip else x.chunk(2, 1)[::-1]
        scale, shift = self.net(keep).chunk(2, 1)
        scale = 1.5 * torch.tanh(scale)
        move = move * scale.exp() + shift
        parts = (keep, move) if not self.flip else (move, keep)
        return torch.cat(parts, 1)[:, [2, 0, 3, 1]], scale.sum(1)


class Flow(nn.Module):
    def __init__(self, layers=4):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(i % 2 == 1) for i in range(layers))

    def log_prob(self, x):
        total = 0.0
        for layer in self.layers:
            x, volume = layer(x)
            total = total + volume
        return total - 0.5 * x.pow(2).sum(1) - 2 * math.log(2 * math.pi)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    held = valley(2000, generator)
    model = Flow()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600)
    for step in range(1, 601):
        loss = -model.log_prob(valley(128, generator)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                nll = -model.log_prob(held).mean()
            print(f"step {step}  loss {loss.item():.4f}  nll {nll.item():.4f}")
