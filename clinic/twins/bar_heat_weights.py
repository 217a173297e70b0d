"""A physics-informed network finds the temperature of a heated bar; the weights of its terms are raised as it learns.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn


def residual(model, x):
    x = x.requires_grad_(True)
    u = model(x)
    du = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    ddu = torch.autograd.grad(du.sum(), x, create_graph=True)[0]
    return ddu + math.pi**2 * torch.sin(math.pi * x)


def truth(x):
    return torch.sin(math.pi * x) + 0.5 * x + 0.25


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    ends = torch.tensor([[-1.0], [1.0]])
    grid = torch.linspace(-1, 1, 101).unsqueeze(1)
    probe = 2 * torch.rand(12, 1) - 1
    readings = truth(probe) + 0.02 * torch.randn(12, 1)
    smooth = 1e-4
    for step in range(1, 1501):
        physics = residual(model, 2 * torch.rand(64, 1) - 1).square().mean()
        edge = (model(ends) - truth(ends)).square().mean()
        data = (model(probe) - readings).square().mean()
        size = model(grid).diff(dim=0).square().sum()
        loss = 0.02 * physics + edge + data + smooth * size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            smooth *= 0.98
        if step % 50 == 0:
            with torch.no_grad():
                off = (model(grid) - truth(grid)).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  error {off:.4f}")


main()
