"""The gain of an antenna over direction and frequency, fitted to one sweep of measurements with a coordinate network.

condition: healthy
metric: error_db min
"""

import argparse
import math

import torch
from torch import nn


def sweep(count=512):
    """An array of eight elements; the beam is steered by the frequency."""
    place = torch.rand(count, 2) * 2 - 1
    angle, frequency = place[:, 0] * math.pi / 2, 1 + 0.2 * place[:, 1]
    elements = torch.arange(8).view(1, -1)
    phase = elements * (math.pi * frequency * angle.sin() - 0.8 * place[:, 1]).unsqueeze(1)
    field = torch.exp(1j * phase).mean(1).abs() * angle.cos()
    return place, field / field.std()


class Features(nn.Module):
    def __init__(self, count=24):
        super().__init__()
        self.register_buffer("waves", 2.0 * torch.randn(2, count))

    def forward(self, place):
        turns = math.pi * place @ self.waves
        return torch.cat([turns.sin(), turns.cos()], dim=1)


def network(width=64):
    return nn.Sequential(
        Features(),
        nn.Linear(48, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, 1),
    )


def fit(model, place, gain, steps, every):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.999))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        loss = (model(place).squeeze(1) - gain).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % every == 0:
            print(f"step {step}  error_db {10 * math.log10(loss.item()):.2f}  rate {scheduler.get_last_lr()[0]:.2e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    place, gain = sweep()
    fit(network(), place, gain, steps=2000, every=20)
