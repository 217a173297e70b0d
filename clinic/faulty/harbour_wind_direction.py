"""Wind direction at a harbour from the readings of four masts upstream: a network gives centre and concentration.

condition: non-finite
accepts: non-finite
allows: divergence, unsafe-step, loss-spike, learning-rate-too-high, exploding-gradient
metric: degrees min
"""

import argparse
import math

import torch
from torch import nn


def make_readings(count, generator):
    """Directions at four masts with their own lags and noise, and the direction at the harbour."""
    harbour = 2 * math.pi * torch.rand(count, generator=generator)
    speed = 2 + 10 * torch.rand(count, generator=generator)
    turns = torch.tensor([0.4, -0.2, 0.9, -0.7]) * torch.tanh(speed / 6).unsqueeze(1)
    noise = 0.2 * torch.randn(count, 4, generator=generator) / speed.unsqueeze(1)
    masts = harbour.unsqueeze(1) + turns + noise
    return torch.cat([masts.sin(), masts.cos(), speed.unsqueeze(1) / 6 - 1], 1), harbour


class DirectionModel(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(9, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.centre = nn.Linear(hidden, 2)
        self.concentration = nn.Linear(hidden, 1)

    def forward(self, x):
        h = self.body(x)
        sine, cosine = self.centre(h).unbind(1)
        return torch.atan2(sine, cosine), nn.functional.softplus(self.concentration(h).squeeze(1))


def loss_fn(prediction, direction):
    """Negative log-likelihood of the von Mises distribution."""
    centre, kappa = prediction
    normaliser = torch.log(2 * math.pi * torch.special.i0(kappa))
    return (normaliser - kappa * torch.cos(direction - centre)).mean()


def mean_error(model, x, direction):
    with torch.no_grad():
        difference = direction - model(x)[0]
    return torch.atan2(difference.sin(), difference.cos()).abs().mean().item() * 180 / math.pi


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, direction = make_readings(6000, generator)
    model = DirectionModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    order = torch.randperm(5000, generator=generator)
    for step in range(1, 601):
        if step % 78 == 0:
            order = torch.randperm(5000, generator=generator)
        rows = order[(step % 78) * 64 : (step % 78 + 1) * 64]
        loss = loss_fn(model(x[rows]), direction[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            print(f"step {step}  loss {loss.item():.4f}  degrees {mean_error(model, x[5000:], direction[5000:]):.3f}")


if __name__ == "__main__":
    main()
