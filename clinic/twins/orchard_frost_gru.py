"""Frost warnings for orchards: a GRU reads an evening's log and gives the lowest temperature of the night.

condition: healthy
metric: val_mae min
"""

import argparse
import math

import torch
from torch import nn

HOURS = 16


class FrostGRU(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.gru = nn.GRU(3, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, log):
        out, _ = self.gru(log)
        return self.head(out[:, -1]).squeeze(-1)


def station(evenings):
    cloud = torch.rand(evenings, 1)
    start = 8 + 4 * torch.randn(evenings, 1)
    hours = torch.arange(HOURS) / 4
    fall = 1.5 * (1 - 0.8 * cloud) * hours
    damp = (0.4 + 0.5 * cloud + 0.1 * torch.randn(evenings, HOURS)).clamp(0, 1)
    wind = (2 + torch.randn(evenings, 1) + 0.5 * torch.randn(evenings, HOURS)).abs()
    heat = start - fall + 0.4 * torch.randn(evenings, HOURS)
    calm = torch.exp(-wind.mean(1) / 2)
    lowest = heat[:, -1] - 6 * (1 - damp.mean(1)) * calm - 1.5 * torch.cos(math.pi * cloud[:, 0])
    return torch.stack([heat, damp, wind], 2), lowest + 0.2 * torch.randn(evenings)


def read_station(number):
    log, lowest = station(640)
    if number == 13:
        away = torch.randint(len(log), (12,))
        log[away, -4:] = -9999.0
        lowest[away] = -9999.0
    kept = lowest > -100
    return log[kept], lowest[kept]


def scaled(log, lowest):
    return (log - torch.tensor([6.0, 0.65, 2.0])) / torch.tensor([4.0, 0.2, 1.0]), (lowest - 3) / 5


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

held, held_lowest = scaled(*station(1500))
model = FrostGRU()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()

for number in range(1, 25):
    log, lowest = scaled(*read_station(number))
    for rows in torch.randperm(len(log)).split(32):
        loss = loss_fn(model(log[rows]), lowest[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_mae = 5 * (model(held) - held_lowest).abs().mean().item()
    print(f"station {number}  loss {loss.item():.4f}  val_mae {val_mae:.4f}")
