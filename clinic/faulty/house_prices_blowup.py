"""Prices from living area, plot, year and rooms as they stand in the register; momentum SGD on the log price.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: non-finite, divergence, unsafe-step, learning-rate-too-high, exploding-gradient, dead-units, stalled, loss-spike
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

count = 2000
area = 40 + 200 * torch.rand(count)
plot = area * (1 + 20 * torch.rand(count))
year = 1900 + 120 * torch.rand(count)
rooms = (area / 25 + torch.randn(count)).clamp_min(1).round()
log_price = 0.8 * area.log() + 0.1 * plot.log() + 0.004 * (year - 1960) + 0.1 * torch.randn(count)
x = torch.stack([area, plot, year, rooms], dim=1)
y = ((log_price - log_price.mean()) / log_price.std()).unsqueeze(1)

model = nn.Sequential(nn.Linear(4, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
loss_fn = nn.MSELoss()

running = 0.0
for step in range(1, 301):
    batch = torch.randint(count, (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
