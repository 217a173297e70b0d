"""Potential of a charged grain from random Fourier features of where it is, squeezed by two tanh layers.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn


class Features(nn.Module):
    """Sines and cosines of random projections."""

    def __init__(self, dims, count, scale):
        super().__init__()
        self.register_buffer("directions", scale * torch.randn(dims, count))

    def forward(self, x):
        angle = x @ self.directions
        return torch.cat([angle.sin(), angle.cos()], 1)


def build(seed):
    torch.manual_seed(seed)
    model = nn.Sequential(
        Features(3, 512, 1.5), nn.Linear(1024, 32), nn.Tanh(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 1)
    )
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="linear")
            nn.init.zeros_(module.bias)
    return model


def potential(x):
    charges = torch.tensor([[0.5, 0.2, -0.3], [-0.6, 0.4, 0.5], [0.1, -0.7, 0.2]])
    signs = torch.tensor([1.0, -1.0, 1.0])
    return (signs / (0.3 + torch.cdist(x, charges))).sum(1, keepdim=True) - 0.6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    model = build(parser.parse_args().seed)
    x = torch.rand(3000, 3) * 2 - 1
    y = potential(x)
    y = (y - y.mean()) / y.std()
    train, val = slice(0, 2500), slice(2500, 3000)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, math.exp(-1 / 30))
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for rows in torch.randperm(2500).split(100):
            loss = loss_fn(model(x[train][rows]), y[train][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        decay.step()
        with torch.no_grad():
            val_error = loss_fn(model(x[val]), y[val]).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
