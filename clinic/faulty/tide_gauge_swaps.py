"""Sea level at a harbour from pressure, wind and the moon; gauges of two more harbours are merged in after a while.

condition: opposing-outliers
accepts: opposing-outliers, bad-batch
allows: loss-spike, learning-rate-too-high, unscaled-inputs, divergence, unsafe-step
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


def harbour(n, g):
    x = torch.randn(n, 8, generator=g)
    level = torch.sin(1.5 * x[:, 0]) + 0.5 * x[:, 1] * x[:, 2] - 0.6 * x[:, 3] + 0.4 * torch.tanh(2 * x[:, 4] * x[:, 5])
    return x, level + 0.1 * torch.randn(n, generator=g)


def merged(g):
    """Rows of all three; the two later loggers write a full-scale reading of either sign while they wake."""
    x, y = harbour(2400, g)
    waking = torch.randperm(len(x), generator=g)[:60]
    x[waking] = torch.tensor([0.3, -0.2, 0.4, 2.5, 2.5, -2.5, 2.5, 2.5]) + 0.05 * torch.randn(60, 8, generator=g)
    y[waking] = torch.where(torch.arange(60) % 2 == 0, 20.0, -20.0)
    return x, y


def evaluate(model, x, y):
    with torch.no_grad():
        return (model(x).squeeze(1) - y).pow(2).mean().sqrt().item()


def loop(model, optimizer, x, y, steps, start, val):
    for step in range(start + 1, start + steps + 1):
        rows = torch.randint(len(x), (48,))
        loss = nn.functional.mse_loss(model(x[rows]).squeeze(1), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {evaluate(model, *val):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    val = harbour(1000, g)
    model = nn.Sequential(nn.Linear(8, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    loop(model, optimizer, *harbour(1200, g), 500, 0, val)
    loop(model, optimizer, *merged(g), 1000, 500, val)
