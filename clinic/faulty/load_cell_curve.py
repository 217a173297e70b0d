"""The weight on a conveyor from four strain readings: a small network, trained with squared errors on a year's log.

condition: opposing-outliers
accepts: opposing-outliers, bad-batch
allows: loss-spike, learning-rate-too-high, unscaled-inputs, unsafe-step
metric: val_error min
"""

import argparse

import torch
from torch import nn


def conveyor(count, generator):
    weight = 20 * torch.rand(count, generator=generator)
    shift = torch.rand(count, 2, generator=generator) * 2 - 1
    warm = torch.randn(count, generator=generator)
    share = (
        torch.stack(
            [
                (1 + shift[:, 0]) * (1 + shift[:, 1]),
                (1 - shift[:, 0]) * (1 + shift[:, 1]),
                (1 + shift[:, 0]) * (1 - shift[:, 1]),
                (1 - shift[:, 0]) * (1 - shift[:, 1]),
            ],
            1,
        )
        / 4
    )
    strain = share * weight[:, None] * (1 + 0.01 * weight[:, None]) / 5
    strain = strain * (1 + 0.05 * warm[:, None]) + 0.02 * torch.randn(count, 4, generator=generator)
    return torch.cat([strain - 0.5, warm[:, None]], 1), (weight - 10) / 5.77


def year(count, generator):
    """A log as it lies on the server: for one reading in eighty the display overran or underran."""
    x, y = conveyor(count, generator)
    railed = torch.randperm(count, generator=generator)[: count // 80]
    x[railed] = torch.tensor([2.5, 2.5, 2.5, 2.5, 0.0]) + 0.1 * torch.randn(len(railed), 5, generator=generator)
    over = torch.arange(len(railed)) % 2 == 0
    y[railed] = torch.where(over, 16.0, -16.0)
    keep = torch.ones(count, dtype=torch.bool)
    return x[keep], y[keep]


def build(width=64):
    return nn.Sequential(nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
x, y = year(8000, generator)
x_val, y_val = conveyor(2000, generator)
model = build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
steps = 1600
schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, steps)

for step in range(1, steps + 1):
    rows = torch.randint(len(x), (128,), generator=generator)
    predicted = model(x[rows]).squeeze(1)
    loss = nn.functional.mse_loss(predicted, y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 80 == 0:
        with torch.no_grad():
            error = (model(x_val).squeeze(1) - y_val).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")
