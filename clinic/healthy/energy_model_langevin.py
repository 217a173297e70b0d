"""An energy-based model of points on four arms: persistent Langevin chains against data, and a loss around zero.

condition: healthy
metric: distance min
"""

import argparse
import math

import torch
from torch import nn


def arms(count):
    """Points on four short arms of a cross that is turned a little."""
    angle = 0.4 + math.pi / 2 * torch.randint(4, (count,))
    radius = 0.8 + 1.2 * torch.rand(count)
    points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
    return points + 0.08 * torch.randn(count, 2)


class Energy(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.layers(x).squeeze(1) + 0.1 * x.pow(2).sum(1)


class Chains:
    """Points that walk down the energy with noise; a few are thrown anew in each round."""

    def __init__(self, count, step=0.02):
        self.points, self.step = 4 * torch.rand(count, 2) - 2, step

    def walk(self, energy, rounds):
        fresh = torch.rand(len(self.points)) < 0.05
        self.points[fresh] = 4 * torch.rand(int(fresh.sum()), 2) - 2
        x = self.points.clone()
        for _ in range(rounds):
            x.requires_grad_(True)
            (slope,) = torch.autograd.grad(energy(x).sum(), x)
            x = x.detach() - self.step * slope.clamp(-10, 10) + math.sqrt(2 * self.step) * 0.5 * torch.randn_like(x)
        self.points = x.detach()
        return self.points


def energy_distance(a, b):
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model, chains, held = Energy(), Chains(256), arms(512)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.5, 0.99))
    for step in range(1, 301):
        data = arms(256)
        fantasy = chains.walk(model, 8)
        low, high = model(data), model(fantasy)
        loss = low.mean() - high.mean() + 0.02 * (low.pow(2).mean() + high.pow(2).mean())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            print(f"step {step}  loss {loss.item():.4f}  distance {energy_distance(fantasy, held):.4f}")


if __name__ == "__main__":
    main()
