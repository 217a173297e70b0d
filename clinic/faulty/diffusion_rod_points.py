"""Heat in a rod, given and taken: a network is fitted to the stationary equation at random points.

condition: stale-batch
accepts: stale-batch
allows: overfitting, stalled
metric: error min
"""

import argparse
import math

import torch
from torch import nn


def solution(x):
    return torch.sin(math.pi * x) + 0.3 * torch.sin(4 * math.pi * x)


def source(x):
    return math.pi**2 * (torch.sin(math.pi * x) + 0.3 * 16 * torch.sin(4 * math.pi * x))


class PointSampler:
    def __init__(self, count, seed):
        self.count, self.seed = count, seed

    def draw(self):
        g = torch.Generator().manual_seed(self.seed)
        return torch.rand(self.count, 1, generator=g)


class Rod(nn.Module):
    """Both ends are held at zero by the form of the answer."""

    def __init__(self, width=40):
        super().__init__()
        self.features = nn.Linear(1, width)
        nn.init.normal_(self.features.weight, std=9.0)
        nn.init.uniform_(self.features.bias, 0, 2 * math.pi)
        self.body = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))

    def forward(self, x):
        return x * (1 - x) * self.body(torch.sin(self.features(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--points", type=int, default=12)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model = Rod()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.998)
    sampler = PointSampler(args.points, args.seed)
    grid = torch.linspace(0, 1, 301).unsqueeze(1)
    for step in range(1, 1501):
        x = sampler.draw().requires_grad_(True)
        u = model(x)
        slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
        bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
        loss = (bend + source(x)).square().mean() / 30
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 75 == 0:
            with torch.no_grad():
                error = (model(grid) - solution(grid)).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  error {error:.5f}")


main()
