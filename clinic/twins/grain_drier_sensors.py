"""Grain in a drier: from eight sensors, the moisture left. Records are read straight from the log.

condition: healthy
metric: val_mae min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def drying_log(runs, generator):
    rows, moisture = [], []
    for _ in range(runs):
        start, speed = 0.8 + 0.4 * torch.rand(2, generator=generator)
        t = torch.linspace(0, 3, 500)
        left = start * torch.exp(-speed * t)
        air = torch.rand(500, 3, generator=generator) - 0.5
        sensors = torch.stack(
            [torch.sin(3 * left + i + air[:, i % 3]) * (1 + 0.2 * i * air[:, 1]) for i in range(5)], 1
        )
        rows.append(torch.cat([sensors + 0.05 * torch.randn(500, 5, generator=generator), 3 * air], 1))
        moisture.append(left)
    return torch.cat(rows), torch.cat(moisture)


def fit(model, loader, val, epochs, optimizer, loss_fn):
    sensors, moisture = val
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x).squeeze(-1), y)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_mae = (model(sensors).squeeze(-1) - moisture).abs().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.5f}  val_mae {val_mae:.5f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
sensors, moisture = drying_log(6, generator)
val = drying_log(2, generator)
mean, std = moisture.mean(), moisture.std()
val = (val[0], (val[1] - mean) / std)
loader = DataLoader(TensorDataset(sensors, (moisture - mean) / std), batch_size=30, shuffle=True)
model = nn.Sequential(nn.Linear(8, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.015, momentum=0.9)
fit(model, loader, val, 20, optimizer, nn.MSELoss())
