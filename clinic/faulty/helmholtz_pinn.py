"""Sound in a closed tube, driven at one end: a network is fitted to the Helmholtz equation and to both ends.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, always-clipping
metric: error min
"""

import argparse
import math

import torch
from torch import nn


class Field(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.first = nn.Linear(1, width)
        self.rest = nn.Sequential(
            nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        nn.init.uniform_(self.first.weight, -4.0, 4.0)
        nn.init.uniform_(self.first.bias, -math.pi, math.pi)

    def forward(self, x):
        return self.rest(torch.sin(self.first(2 * x - 1)))


def residual(field, x, k):
    x = x.requires_grad_(True)
    u = field(x)
    du = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    ddu = torch.autograd.grad(du.sum(), x, create_graph=True)[0]
    return ddu + k**2 * u


def exact(x, k):
    """u(0) = 0 and u(1) = 1."""
    return torch.sin(k * x) / math.sin(k)


def train(seed, k=11.0, steps=1200):
    torch.manual_seed(seed)
    field = Field()
    optimizer = torch.optim.Adam(field.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    ends, values = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]])
    grid = torch.linspace(0, 1, 201).unsqueeze(1)
    for step in range(1, steps + 1):
        interior = residual(field, torch.rand(64, 1), k).square().mean()
        boundary = (field(ends) - values).square().mean()
        loss = interior + boundary
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 60 == 0:
            with torch.no_grad():
                error = (field(grid) - exact(grid, k)).square().mean().sqrt().item()
            print(f"step {step}  interior {interior.item():.5f}  boundary {boundary.item():.5f}  error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
