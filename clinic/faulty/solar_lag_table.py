"""Power of a solar plant an hour ahead from eight measurements; a table of all sites is cut into windows.

condition: stalled
accepts: stalled
allows: overfitting, learning-rate-too-low
metric: val_loss min
"""

import argparse

import numpy as np
import torch
from torch import nn

HOURS, SITES = 240, 12


def site_log(rng):
    """Weather and output of one site, standardised, hour by hour."""
    cloud = np.zeros(HOURS)
    for hour in range(1, HOURS):
        cloud[hour] = 0.8 * cloud[hour - 1] + 0.6 * rng.normal()
    sun = np.sin(2 * np.pi * (np.arange(HOURS) + rng.uniform(0, 24)) / 24)
    heat = 0.5 * sun + 0.5 * rng.normal(size=HOURS)
    power = np.clip(sun, -0.2, None) / (1 + np.exp(1.5 * cloud)) - 0.1 * heat * (sun > 0)
    rest = rng.normal(size=(HOURS, 4))
    weather = np.column_stack([cloud, sun, heat, np.gradient(sun) * 4, rest])
    return weather, (power - 0.22) / 0.27


def windows(rng, sites):
    logs = [site_log(rng) for _ in range(sites)]
    weather = np.concatenate([log[0] for log in logs])
    power = np.stack([log[1] for log in logs], axis=1).reshape(-1)
    return torch.tensor(weather, dtype=torch.float32), torch.tensor(power, dtype=torch.float32)


class PowerNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.enter = nn.Linear(8, width)
        self.middle = nn.Linear(width, width)
        self.leave = nn.Linear(width, 1)

    def forward(self, weather):
        h = torch.tanh(self.enter(weather))
        return self.leave(torch.tanh(self.middle(h))).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
rng = np.random.default_rng(seed)

x, y = windows(rng, SITES)
split = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
train, val = split[:2300], split[2300:]
model = PowerNet()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.MSELoss()

step = 0
for _ in range(12):
    for rows in train[torch.randperm(len(train))].split(64):
        step += 1
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_loss {loss_fn(model(x[val]), y[val]).item():.4f}")
