"""Tide curves from a few readings: a conditional neural process tells the height at any hour, with an error bar.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


def harbours(count, rng):
    """Every harbour has its own size and phase of two tides; hours are drawn at will."""
    hours = 24 * torch.rand(count, 40, generator=rng)
    size = 0.4 + 0.6 * torch.rand(count, 2, 1, generator=rng)
    phase = 6.283 * torch.rand(count, 2, 1, generator=rng)
    level = size[:, 0] * torch.cos(6.283 * hours / 12.42 + phase[:, 0])
    level = level + 0.5 * size[:, 1] * torch.cos(6.283 * hours / 23.93 + phase[:, 1])
    return hours / 12 - 1, level + 0.05 * torch.randn(count, 40, generator=rng)


class Process(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(8, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
        )
        self.decode = nn.Sequential(
            nn.Linear(width + 7, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2)
        )

    @staticmethod
    def waves(hour):
        return torch.stack([hour, *(f(k * hour) for k in (3.0, 6.0, 12.0) for f in (torch.sin, torch.cos))], -1)

    def forward(self, hour, level, new):
        known = self.encode(torch.cat([self.waves(hour), level[..., None]], -1)).mean(1, keepdim=True)
        mean, raw = self.decode(torch.cat([known.expand(-1, new.shape[1], -1), self.waves(new)], -1)).unbind(-1)
        return mean, 0.03 + nn.functional.softplus(raw)

    def nll(self, hour, level, context):
        mean, std = self(hour[:, :context], level[:, :context], hour[:, context:])
        return (0.5 * ((level[:, context:] - mean) / std) ** 2 + std.log()).mean() + 0.5 * math.log(2 * math.pi)


def main(seed):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = harbours(400, rng)
    model = Process()
    steps = 1200
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for step in range(1, steps + 1):
        context = torch.randint(3, 20, (1,)).item()
        loss = model.nll(*harbours(32, rng), context)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 60 == 0:
            with torch.no_grad():
                nll = sum(model.nll(*val, c).item() for c in (5, 10, 15)) / 3
            print(f"step {step}  loss {loss.item():.4f}  val_nll {nll:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
