"""A network that turns noise into samples of a landscape with six valleys, from its energy alone.

condition: healthy
metric: distance min
"""

import argparse
import math

import torch
from torch import nn

angles = torch.arange(6) * math.pi / 3
VALLEYS = 2.0 * torch.stack([angles.cos(), angles.sin()], 1)
WIDTH = 0.4


def energy(x):
    squares = (x.unsqueeze(1) - VALLEYS).pow(2).sum(-1) / (2 * WIDTH**2)
    return -torch.logsumexp(-squares, 1)


def true_samples(count):
    return VALLEYS[torch.randint(6, (count,))] + WIDTH * torch.randn(count, 2)


def energy_distance(x, y):
    return 2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean()


def entropy(x, bandwidth=0.25):
    """Of the samples, by a kernel estimate that leaves each one out of its own density."""
    squares = (x.unsqueeze(1) - x).pow(2).sum(-1) / (2 * bandwidth**2)
    squares = squares + 1e4 * torch.eye(len(x))
    return -(torch.logsumexp(-squares, 1) - math.log(len(x) - 1)).mean()


def make_sampler():
    return nn.Sequential(nn.Linear(4, 96), nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 2))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = make_sampler()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.99))
for step in range(1, 1001):
    x = model(torch.randn(256, 4))
    loss = energy(x).mean() - entropy(x)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            distance = energy_distance(model(torch.randn(500, 4)), true_samples(500))
        print(f"step {step}  loss {loss.item():.4f}  distance {distance.item():.4f}")
