"""How a plume spreads in a river: a network of places and times, Adam, and a second stage with finer settings.

condition: loss-spike
accepts: loss-spike, learning-rate-too-high, divergence, unsafe-step
allows: dead-units, exploding-gradient, stalled
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn


class Plume(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.register_buffer("waves", math.pi * torch.arange(1, 5.0))
        self.net = nn.Sequential(
            nn.Linear(3 + 24, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, place):
        phase = (place.unsqueeze(-1) * self.waves).flatten(1)
        return self.net(torch.cat([place, phase.sin(), phase.cos()], 1)).squeeze(1)


def plume(place):
    x, y, t = place.unbind(1)
    spread = 0.08 + 0.2 * (t + 1)
    return 2 * torch.exp(-((x - 0.6 * t) ** 2 + (y - 0.2 * torch.sin(3 * x)) ** 2) / spread) + 0.3 * torch.sin(
        4 * x * y
    )


STAGES = [
    {"steps": 260, "lr": 2e-3, "betas": (0.9, 0.999), "batch": 128},
    {"steps": 140, "lr": 1e-3, "betas": (0.9, 0.9), "batch": 128, "eps": 1e-8, "warm": 200.0},
]


def stage(model, loss_fn, settings, first, val):
    optimizer = torch.optim.Adam(model.parameters(), settings["lr"], settings["betas"], eps=settings.get("eps", 1e-8))
    warm = settings.get("warm", 1.0)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 + (warm - 1) * min(1.0, step / 100))
    for step in range(first, first + settings["steps"]):
        place = 2 * torch.rand(settings["batch"], 3) - 1
        loss = loss_fn(model(place), plume(place))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val), plume(val)).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
    return first + settings["steps"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    val = 2 * torch.rand(512, 3) - 1
    model = Plume()
    loss_fn = nn.MSELoss()
    step = 1
    for settings in STAGES:
        step = stage(model, loss_fn, settings, step, val)


main()
