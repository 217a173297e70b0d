"""Rain in the next hour from six hours of radar columns: squares first, then a loss that storms do not rule.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled, loss-spike, divergence
metric: val_mae min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def radar(count, length=24):
    t = torch.arange(length)
    drift = 2 * math.pi * torch.rand(count, 1)
    slow = torch.sin(t / 7 + drift)
    gust = torch.randn(count, length)
    cloud = torch.relu(slow + 0.5 * gust)
    wet = 0.8 * cloud[:, -6:].mean(1) + 0.6 * torch.sin(24 / 7 + drift[:, 0]) + 0.3 * cloud.amax(1)
    storm = (torch.rand(count) < 0.03) * 3 * torch.rand(count)
    return torch.stack([cloud - 0.5, gust], 1), wet + storm + 0.05 * torch.randn(count)


def log_cosh(guess, target):
    miss = guess - target
    return (miss + nn.functional.softplus(-2 * miss) - math.log(2)).mean()


columns, rain = radar(4000)
val_columns, val_rain = radar(1000)
model = nn.Sequential(
    nn.Conv1d(2, 16, 5, padding=2),
    nn.SiLU(),
    nn.Conv1d(16, 32, 5, stride=2, padding=2),
    nn.SiLU(),
    nn.Flatten(),
    nn.Linear(32 * 12, 64),
    nn.SiLU(),
    nn.Linear(64, 1),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
squares = nn.MSELoss()

for step in range(1, 801):
    batch = torch.randint(len(columns), (64,))
    guess = model(columns[batch])
    if step <= 300:
        loss = squares(guess, rain[batch].unsqueeze(1))
    else:
        loss = log_cosh(guess, rain[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_mae = (model(val_columns).squeeze(1) - val_rain).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_mae {val_mae:.4f}")
