"""Temperature of a furnace from eight sensor channels, read shard by shard as the loggers wrote them.

condition: bad-batch
accepts: bad-batch
allows: unsafe-step, loss-spike, divergence, dead-units, stalled, exploding-gradient, learning-rate-too-high
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

mixing = torch.randn(8, 8) / 8**0.5


def record(size):
    state = torch.randn(size, 8)
    heat = torch.sin(state[:, 0]) + 0.5 * state[:, 1] * state[:, 2] + 0.3 * state[:, 3]
    return state @ mixing, (heat + 0.05 * torch.randn(size)).unsqueeze(1)


shards = []
for logger in range(40):
    sensors, temperature = record(64)
    if logger == 27:
        temperature = temperature * 1000 + 273
    shards.append((sensors, temperature))
val_sensors, val_temperature = record(512)

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.MSELoss()

step = 0
for _ in range(8):
    for i in torch.randperm(len(shards)).tolist():
        sensors, temperature = shards[i]
        loss = loss_fn(model(sensors), temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 10 == 0:
            with torch.no_grad():
                error = (model(val_sensors) - val_temperature).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
