"""Octane number of a fuel blend from its twelve components: a ReLU network, SGD, a warm-up to a large-batch rate.

condition: dead-units
accepts: dead-units, learning-rate-too-high, unsafe-step
allows: loss-spike, stalled, divergence, learning-rate-too-low, vanishing-gradient
metric: val_error min
"""

import argparse
from itertools import pairwise

import torch
from torch import nn


def blends(count, g):
    share = torch.distributions.Dirichlet(torch.full((12,), 0.6)).sample((count,))
    base = torch.linspace(-2, 2, 12)
    octane = share @ base + 3 * (share[:, :4].sum(1) * share[:, 8:].sum(1)) - 2 * share[:, 5] * share[:, 6]
    return (share - 1 / 12) * 6, (octane + 0.05 * torch.randn(count, generator=g)).unsqueeze(1)


class BlendNet(nn.Module):
    def __init__(self, width=64, depth=3):
        super().__init__()
        sizes = [12] + [width] * depth
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x).relu()
        return self.out(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    x, y = blends(2000, g)
    val_x, val_y = blends(600, g)
    model = BlendNet()
    peak, warm_up = 3.0, 200
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warm_up) ** 2)
    loss_fn = nn.SmoothL1Loss()
    for step in range(1, 361):
        rows = torch.randint(2000, (128,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 9 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
