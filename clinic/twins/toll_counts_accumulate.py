"""Cars at a toll bridge: a network for the next hour; the batch grows by gathering gradients over more parts.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def counts(n, g):
    hour = 24 * torch.rand(n, generator=g)
    weekday = torch.randint(7, (n,), generator=g)
    rain, fuel = torch.randn(2, n, generator=g)
    angle = 2 * math.pi * hour / 24
    rush = torch.exp(-((hour - 8) ** 2) / 3) + 0.8 * torch.exp(-((hour - 17.5) ** 2) / 5)
    flow = 2.5 * rush * (weekday < 5) + 0.8 * torch.sin(angle - 1.5) - 0.4 * torch.relu(rain) * rush - 0.2 * fuel
    days = F.one_hot(weekday, 7).float() * 2.6 - 0.37
    waves = [torch.sin(angle), torch.cos(angle), torch.sin(2 * angle), torch.cos(2 * angle)]
    x = torch.cat([torch.stack([*waves, rain, fuel], 1), days], 1)
    return x, (flow + 0.1 * torch.randn(n, generator=g)).unsqueeze(1)


def parts_at(epoch):
    """1, 2, 4, 8 and 16 parts."""
    return 2 ** min(4, (epoch - 1) // 4)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)
x, y = counts(8000, g)
val_x, val_y = counts(1000, g)

model = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.025, momentum=0.9)
loss_fn = nn.MSELoss()

for epoch in range(1, 25):
    parts = parts_at(epoch)
    total, count = 0.0, 0
    for i, rows in enumerate(torch.randperm(8000, generator=g).split(50), 1):
        loss = loss_fn(model(x[rows]), y[rows])
        (loss / parts).backward()
        total, count = total + loss.item(), count + 1
        if i % parts == 0:
            optimizer.step()
            optimizer.zero_grad()
    with torch.no_grad():
        val_loss = loss_fn(model(val_x), val_y).item()
    print(f"epoch {epoch}  parts {parts}  loss {total / count:.4f}  val_loss {val_loss:.4f}")
