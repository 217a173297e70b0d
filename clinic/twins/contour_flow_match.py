"""Contours of islands as clouds of points: a velocity field learns to carry noise onto them.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn


def coast(count):
    """Three islands with bays."""
    island = torch.randint(0, 3, (count,)).float()
    angle = 2 * math.pi * torch.rand(count)
    radius = 0.45 + 0.12 * torch.cos((3 + island) * angle)
    centre = 2 * math.pi * island / 3
    x = 1.1 * torch.cos(centre) + radius * torch.cos(angle)
    y = 1.1 * torch.sin(centre) + radius * torch.sin(angle)
    return torch.stack([x, y], 1) + 0.02 * torch.randn(count, 2)


def moments(count):
    points, noise, time = coast(count), torch.randn(count, 2), torch.rand(count, 1)
    return (1 - time) * noise + time * points, time, points - noise


class Velocity(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.register_buffer("waves", 2.0 ** torch.arange(3) * math.pi)
        self.net = nn.Sequential(
            nn.Linear(2 + 6 + 12, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, x, time):
        clock = time * self.waves
        place = (x.unsqueeze(-1) * self.waves / 2).flatten(1)
        return self.net(torch.cat([x, clock.sin(), clock.cos(), place.sin(), place.cos()], 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Velocity()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.998)
    exam = moments(4000)
    for step in range(1, 1201):
        x, time, velocity = moments(128)
        loss = nn.functional.mse_loss(model(x, time), velocity)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 60 == 0:
            with torch.no_grad():
                val_loss = nn.functional.mse_loss(model(exam[0], exam[1]), exam[2]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
