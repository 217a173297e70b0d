"""Load of a town's feeder a few hours ahead: a GRU learns from the meter's stream, day after day.

condition: bad-batch
accepts: bad-batch
allows: loss-spike, unscaled-inputs, divergence, stalled, saturated-units, exploding-gradient, unsafe-step,
  epsilon-dominated-update, learning-rate-too-low, bptt-explosion, frozen-parameters
metric: val_error min
"""

import argparse
import math

import numpy as np
import torch
from torch import nn

PAST, AHEAD, PER_DAY = 24, 3, 24


def meter(days, rng, faults):
    """Hourly load around its mean, in units of its spread; the counter rolled over on one evening."""
    hour = np.arange(days * 24)
    weather = np.zeros(len(hour))
    for k in range(1, len(hour)):
        weather[k] = 0.97 * weather[k - 1] + 0.25 * rng.normal()
    day = np.sin(2 * math.pi * hour / 24) + 0.5 * np.sin(4 * math.pi * hour / 24 + 1)
    week = 0.4 * np.sin(2 * math.pi * hour / 168)
    load = day * (1 + 0.3 * np.tanh(weather)) + week + 0.6 * np.tanh(weather) + 0.1 * rng.normal(size=len(hour))
    if faults:
        at = int(0.45 * len(hour))
        load[at : at + 2] += 65536 / 12.0
    return torch.tensor(load, dtype=torch.float32)


def windows(load, first, count):
    start = torch.arange(first, first + count)
    past = load[start[:, None] + torch.arange(PAST)]
    ahead = load[start[:, None] + PAST + torch.arange(AHEAD)]
    return past, ahead


def cleaned(load):
    return load


class Forecaster(nn.Module):
    def __init__(self, units=40):
        super().__init__()
        self.gru = nn.GRU(1, units, batch_first=True)
        self.out = nn.Linear(units, AHEAD)

    def forward(self, past):
        return self.out(self.gru(past.unsqueeze(2))[0][:, -1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    stream = cleaned(meter(850, rng, True))
    val_past, val_ahead = windows(meter(40, rng, False), 0, 40 * 24 - PAST - AHEAD)
    model, loss_fn = Forecaster(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.3, 840)
    for day in range(1, 841):
        past, ahead = windows(stream, (day - 1) * PER_DAY, PER_DAY)
        loss = loss_fn(model(past), ahead)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if day % 28 == 0:
            with torch.no_grad():
                val_error = (model(val_past) - val_ahead).abs().mean().item()
            print(f"step {day}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
