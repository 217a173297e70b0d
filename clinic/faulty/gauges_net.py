"""Water at twelve gauges of a river from the rain of the last days, with how sure one can be of each gauge.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, frozen-parameters, detached-parameters
metric: nll min
"""

import argparse
import math

import torch
from torch import nn

GAUGES, RAIN = 12, 16


class GaugeNLL(nn.Module):
    """Gaussian likelihood; the spread of a gauge's error is learned with all the rest."""

    def __init__(self, gauges):
        super().__init__()
        self.log_spread = nn.Parameter(torch.zeros(gauges))

    def forward(self, guess, level):
        scaled = (level - guess) * torch.exp(-self.log_spread)
        return (0.5 * scaled.square() + self.log_spread + 0.5 * math.log(2 * math.pi)).mean()


class River(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.rain = nn.Sequential(nn.Linear(RAIN, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.level = nn.Linear(width, GAUGES)

    def forward(self, x):
        return self.level(self.rain(x))


def floods(count, basin, generator):
    rain = torch.randn(count, RAIN, generator=generator)
    level = torch.tanh(rain @ basin["reach"]) + 0.3 * (rain @ basin["bed"])
    noise = torch.randn(count, GAUGES, generator=generator) * basin["spread"]
    return rain, level + noise


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    basin = {
        "reach": 0.3 * torch.randn(RAIN, GAUGES, generator=generator),
        "bed": 0.25 * torch.randn(RAIN, GAUGES, generator=generator),
        "spread": torch.linspace(0.15, 0.9, GAUGES),
    }
    model, criterion = River(), GaugeNLL(GAUGES)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    held = floods(1500, basin, generator)
    for step in range(1, 1001):
        rain, level = floods(64, basin, generator)
        loss = criterion(model(rain), level)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                nll = criterion(model(held[0]), held[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  nll {nll:.4f}")


main()
