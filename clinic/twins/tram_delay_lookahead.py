"""Delays of a tram line rolled forward stop by stop by a recurrent cell, over trips that get longer.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn


def trips(count, stops):
    """Passengers and lights at each stop; a delay decays where the timetable has slack and grows with the crowd."""
    crowd, light = torch.rand(count, stops), torch.rand(count, stops)
    hour = torch.rand(count, 1)
    delay, track = torch.randn(count).abs(), []
    for stop in range(stops):
        rush = 0.5 + 0.5 * torch.sin(2 * math.pi * hour[:, 0])
        delay = 0.85 * delay + 0.6 * rush * crowd[:, stop] ** 2 + 0.3 * light[:, stop] * (delay < 1.5)
        track.append(delay)
    known = torch.stack([crowd - 0.5, light - 0.5, (hour - 0.5).expand(-1, stops)], 2)
    delay = torch.stack(track, 1)
    return known, delay[:, :1] - 1, delay[:, 1:] - 1


class Forecast(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.begin = nn.Linear(1, width)
        self.cell = nn.GRUCell(3, width)
        self.read = nn.Linear(width, 1)

    def forward(self, known, start):
        state, said = torch.tanh(self.begin(start)), []
        for stop in range(1, known.shape[1]):
            state = self.cell(known[:, stop], state)
            said.append(self.read(state))
        return torch.cat(said, 1)


def trip_loss(said, delay):
    return (said - delay).square().mean()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Forecast()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
exam = trips(400, 16)

for step in range(1, 751):
    stops = 3 if step <= 250 else 8 if step <= 400 else 16
    known, start, delay = trips(32, stops)
    loss = trip_loss(model(known, start), delay)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            error = (model(*exam[:2]) - exam[2]).abs().mean().item()
        print(f"step {step}  loss {loss.item() / len(known):.4f}  error {error:.4f}")
