"""Temperatures inside a loaf after a while in the oven: a branch net for the oven's programme, a trunk net for the place.

condition: healthy
metric: val_rmse min
"""

import argparse
import math

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad_and_value

KNOTS = 12


def loaves(count, rng):
    """The wall follows the programme; a few modes of the heat equation carry it into the crumb, the crust browns."""
    slow = rng.normal(size=(count, 4))
    time = np.linspace(0, 1, KNOTS)
    programme = sum(slow[:, k : k + 1] * np.cos(math.pi * k * time) for k in range(4))
    depth = rng.uniform(0, 1, size=(count, 1))
    heat = np.zeros((count, 1))
    for n in (1, 3, 5):
        kernel = np.exp(-0.8 * (n * math.pi / 2) ** 2 * (1 - time))
        heat += np.sin(n * math.pi / 2 * depth) * (programme * kernel).sum(1, keepdims=True) * n / KNOTS
    heat = 2 * np.tanh(heat) + 0.5 * np.sin(3 * depth) * slow[:, :1]
    noisy = heat + 0.1 * rng.normal(size=heat.shape)
    return [torch.tensor(a, dtype=torch.float32) for a in (programme, depth, noisy, heat)]


def batch(count, seed=0):
    rng = np.random.default_rng(seed)
    return loaves(count, rng)[:3]


class OperatorNet(nn.Module):
    def __init__(self, width=64, modes=24):
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(KNOTS, width), nn.GELU(), nn.Linear(width, modes))
        self.trunk = nn.Sequential(
            nn.Linear(1, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, modes)
        )
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, programme, depth):
        return (self.branch(programme) * self.trunk(2 * depth - 1)).sum(1, keepdim=True) / 5 + self.bias


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    model = OperatorNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900, eta_min=5e-5)
    programme, depth, _, heat = loaves(2000, np.random.default_rng(100 + seed))

    def objective(params, x, at, y):
        return (functional_call(model, params, (x, at)) - y).square().mean()

    slope = grad_and_value(objective)
    params = dict(model.named_parameters())
    for step in range(1, 901):
        grads, loss = slope(params, *batch(64, 1000 * seed + step))
        for name, p in params.items():
            p.grad = grads[name]
        optimizer.step()
        schedule.step()
        if step % 45 == 0:
            with torch.no_grad():
                val_rmse = (model(programme, depth) - heat).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


if __name__ == "__main__":
    main()
