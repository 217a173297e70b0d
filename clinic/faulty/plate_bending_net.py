"""How a square plate bends under a load that wanders: a network is asked to fulfil the equation and the edges.

condition: stale-batch
accepts: stale-batch, overfitting
allows: stalled, loss-term-imbalance
metric: deflection_error min
"""

import argparse
import math

import torch
from torch import nn


def exact(p):
    x, y = p[:, :1], p[:, 1:]
    return torch.sin(math.pi * x) * torch.sin(math.pi * y) + 0.4 * torch.sin(2 * math.pi * x) * torch.sin(
        3 * math.pi * y
    )


def load(p):
    """What stands on the membrane, so that the deflection above is the answer."""
    x, y = p[:, :1], p[:, 1:]
    first = 2 * math.pi**2 * torch.sin(math.pi * x) * torch.sin(math.pi * y)
    return first + 0.4 * 13 * math.pi**2 * torch.sin(2 * math.pi * x) * torch.sin(3 * math.pi * y)


class Deflection(nn.Module):
    """Zero at the edges by its form."""

    def __init__(self, width=40):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, p):
        x, y = p[:, :1], p[:, 1:]
        return 16 * x * (1 - x) * y * (1 - y) * self.net(4 * p - 2)


def residual(model, p):
    p = p.requires_grad_(True)
    u = model(p)
    slope = torch.autograd.grad(u.sum(), p, create_graph=True)[0]
    bend = sum(torch.autograd.grad(slope[:, i].sum(), p, create_graph=True)[0][:, i : i + 1] for i in range(2))
    return (bend + load(p)) / 30


class Solver:
    def __init__(self, seed, rate=4e-3):
        torch.manual_seed(seed)
        self.seed, self.model = seed, Deflection()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.996)
        self.generator = torch.Generator().manual_seed(seed)
        axis = torch.linspace(0, 1, 41)
        self.grid = torch.cartesian_prod(axis, axis)

    def points(self, count=40):
        generator = torch.Generator().manual_seed(self.seed)
        return torch.rand(count, 2, generator=generator)

    def step(self):
        loss = residual(self.model, self.points()).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.scheduler.step()
        return loss.item()

    @torch.no_grad()
    def error(self):
        return (self.model(self.grid) - exact(self.grid)).abs().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
solver = Solver(parser.parse_args().seed)
for step in range(1, 601):
    loss = solver.step()
    if step % 30 == 0:
        print(f"step {step}  loss {loss:.5f}  deflection_error {solver.error():.5f}")
