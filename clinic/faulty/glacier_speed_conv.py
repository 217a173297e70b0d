"""Speed of a glacier from the last two days of its weather station: a convolution learns while the readings come in.

condition: bad-batch
accepts: bad-batch, loss-spike, unsafe-step
allows: loss-spike, unsafe-step, divergence, dead-units, exploding-gradient, unscaled-inputs,
  stalled
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn


class Station:
    """Temperature, snow height and rain, every hour; the logger writes -999 where an instrument was iced up."""

    def __init__(self, seed, iced=()):
        self.g = torch.Generator().manual_seed(seed)
        self.iced, self.day = set(iced), 0

    def readings(self, count=32):
        self.day += 1
        hour = torch.arange(48.0).repeat(count, 1) + 24 * torch.rand(count, 1, generator=self.g)
        warm = torch.randn(count, 1, generator=self.g)
        temperature = warm + torch.sin(2 * math.pi * hour / 24) + 0.3 * torch.randn(count, 48, generator=self.g)
        snow = torch.randn(count, 1, generator=self.g) + 0.05 * torch.randn(count, 48, generator=self.g).cumsum(1)
        rain = (torch.randn(count, 48, generator=self.g) - 1).clamp(min=0) * 2
        melt = (temperature - 0.3 * snow).clamp(min=0)
        speed = (melt + rain)[:, -24:].mean(1) + 0.5 * (melt * rain)[:, :24].mean(1) - 0.2 * snow.mean(1)
        speed = (speed - 0.95) / 0.55 + 0.05 * torch.randn(count, generator=self.g)
        x = torch.stack([temperature, snow, rain - 0.17], 1)
        if self.day in self.iced:
            x[torch.rand(count, generator=self.g) < 0.3, 1] = -999.0
        return x, speed


def network():
    return nn.Sequential(
        nn.Conv1d(3, 24, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool1d(2),
        nn.Conv1d(24, 32, 5, padding=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(4),
        nn.Flatten(),
        nn.Linear(128, 32),
        nn.ReLU(),
        nn.Linear(32, 1),
        nn.Flatten(0),
    )


def usable(x):
    return x.isfinite().all(2).all(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    station = Station(args.seed, iced=[631])
    val_x, val_y = Station(args.seed + 1000).readings(500)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.SmoothL1Loss()
    for day in range(1, 1001):
        x, y = station.readings()
        good = usable(x)
        loss = loss_fn(model(x[good]), y[good])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if day % 40 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {day}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
