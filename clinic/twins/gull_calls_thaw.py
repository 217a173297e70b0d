"""Calls of gulls: a trunk that knows island A gets a new head for island B and is thawed after some epochs.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LENGTH = 96


def calls(pitches, chirps, count):
    kind = torch.randint(len(pitches), (count,))
    t = torch.arange(LENGTH) / LENGTH
    pitch = torch.tensor(pitches)[kind].unsqueeze(1) * (1 + 0.08 * torch.randn(count, 1))
    chirp = torch.tensor(chirps)[kind].unsqueeze(1)
    wave = torch.sin(2 * math.pi * (pitch * t + chirp * t**2) + 6.3 * torch.rand(count, 1))
    return (wave + 0.9 * torch.randn(count, LENGTH)).unsqueeze(1), kind


class Trunk(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv1d(1, 16, 9, padding=4),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 9, padding=4),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(4),
            nn.Flatten(),
        )


def fit_first_island(trunk, x, y):
    model = nn.Sequential(trunk, nn.Linear(128, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(100):
        pick = torch.randint(len(x), (64,))
        optimizer.zero_grad()
        F.cross_entropy(model(x[pick]), y[pick]).backward()
        optimizer.step()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

trunk = Trunk()
fit_first_island(trunk, *calls([6.0, 10.0, 14.0], [0.0, 0.0, 0.0], 1500))

island_b = [8.0, 8.0, 12.0, 12.0, 16.0], [-4.0, 4.0, -4.0, 4.0, 0.0]
x, y = calls(*island_b, 3000)
x_val, y_val = calls(*island_b, 1000)
trunk.requires_grad_(False)
head = nn.Linear(128, 5)
model = nn.Sequential(trunk, head)
optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)
trunk_optimizer = None

for epoch in range(1, 25):
    if epoch == 9:
        trunk.requires_grad_(True)
        trunk_optimizer = torch.optim.SGD(trunk.parameters(), lr=0.01, momentum=0.9)
    for pick in torch.randperm(len(x)).split(100):
        optimizer.zero_grad()
        if trunk_optimizer:
            trunk_optimizer.zero_grad()
        loss = F.cross_entropy(model(x[pick]), y[pick])
        loss.backward()
        optimizer.step()
        if trunk_optimizer:
            trunk_optimizer.step()
    with torch.no_grad():
        accuracy = (model(x_val).argmax(1) == y_val).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
