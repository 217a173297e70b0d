"""A picture as a function of its coordinates: a network of sines is trained on random pixels.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: stalled, saturated-units, loss-spike, unsafe-step, divergence
metric: picture_error min
"""

import argparse
import math

import torch
from torch import nn


class Sine(nn.Module):
    def __init__(self, size_in, size_out, frequency, first=False):
        super().__init__()
        self.frequency = frequency
        self.linear = nn.Linear(size_in, size_out)
        bound = 1 / size_in if first else math.sqrt(6 / size_in) / frequency
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x):
        return torch.sin(self.frequency * self.linear(x))


def picture(xy):
    """Grey values in 0 to 1: rings around a point, a slanted edge and a soft spot."""
    x, y = xy.unbind(1)
    rings = torch.cos(14 * torch.hypot(x - 0.3, y + 0.2))
    edge = torch.sigmoid(12 * (x + 0.6 * y))
    spot = torch.exp(-8 * ((x + 0.5).square() + (y - 0.4).square()))
    return (0.25 * rings * edge + 0.3 * edge + 0.4 * spot + 0.25).unsqueeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = nn.Sequential(Sine(2, 64, 15.0, first=True), Sine(64, 64, 15.0), Sine(64, 64, 15.0), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    loss_fn = nn.MSELoss()
    side = torch.linspace(-1, 1, 40)
    grid = torch.cartesian_prod(side, side)
    for step in range(1, 401):
        xy = 2 * torch.rand(256, 2) - 1
        loss = loss_fn(model(xy), picture(xy))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = loss_fn(model(grid), picture(grid)).item()
            print(f"step {step}  loss {loss.item():.5f}  picture_error {error:.5f}")


if __name__ == "__main__":
    main()
