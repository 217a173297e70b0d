"""A map of the depth of a tidal marsh from soundings along a few boat trips, as a function of place and hour.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

OCTAVES = 2


def depth(place, hour):
    """Two channels, a bank and the tide that comes in from the south."""
    x, y = place.T
    channel = torch.exp(-(((y - 0.4 * torch.sin(2.5 * x)) / 0.3) ** 2)) + 0.7 * torch.exp(
        -(((x + 0.3 * y - 0.2) / 0.25) ** 2)
    )
    bank = 0.6 * torch.exp(-((x - 0.5) ** 2 + (y + 0.5) ** 2) / 0.1)
    return channel - bank + 0.4 * torch.cos(hour - 0.8 * y) - 0.5


def trips(count, length=40):
    """A boat keeps a heading that bends a little; its sonar is noisy."""
    heading = 2 * math.pi * torch.rand(count, 1) + (0.15 * torch.randn(count, length)).cumsum(1)
    stride = 0.05 * torch.stack([heading.cos(), heading.sin()], 2)
    place = (1.6 * torch.rand(count, 1, 2) - 0.8 + stride.cumsum(1)).clamp(-1, 1).flatten(0, 1)
    hour = (2 * math.pi * torch.rand(count, 1) + 0.03 * torch.arange(length)).flatten()
    return place, hour, depth(place, hour) + 0.3 * torch.randn(count * length)


class DepthMap(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.register_buffer("waves", 2.0 ** torch.arange(OCTAVES))
        self.layers = nn.Sequential(
            nn.Linear(4 * OCTAVES + 4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, place, hour):
        turns = (place.unsqueeze(2) * self.waves * math.pi / 2).flatten(1)
        clock = torch.stack([hour.sin(), hour.cos()], 1)
        return self.layers(torch.cat([place, clock, turns.sin(), turns.cos()], 1)).squeeze(1)


class Survey:
    def __init__(self, boats):
        self.data = trips(boats)

    def batches(self, size):
        for rows in torch.randperm(len(self.data[0])).split(size):
            yield tuple(part[rows] for part in self.data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    survey, held = Survey(boats=80), trips(40)
    model = DepthMap()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for place, hour, sounded in survey.batches(40):
            loss = loss_fn(model(place, hour), sounded)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = loss_fn(model(*held[:2]), held[2]).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
