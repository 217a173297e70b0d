"""A GRU reads ten days of a cider vat's log and forecasts the alcohol it ends with.

condition: healthy
metric: error min
"""

import argparse

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)


def ferment(vats, days=10):
    """Density (g/l), temperature (deg C), pH and CO2 flow (l/h) of each vat at the end of every day."""
    sugar = rng.uniform(90, 140, vats)
    yeast = rng.uniform(0.02, 0.06, vats)
    cellar = rng.uniform(12, 22, vats)
    vigour = rng.uniform(0.6, 1.3, vats)
    tolerance = rng.uniform(5.5, 8.5, vats)
    alcohol = np.zeros(vats)
    rows = []
    for day in range(60):
        heat = np.exp(-(((cellar - 20) / 8) ** 2))
        slow = np.clip(1 - alcohol / tolerance, 0, 1)
        eaten = np.minimum(sugar, 14 * vigour * heat * yeast * 10 * slow * sugar / (sugar + 20))
        sugar = sugar - eaten
        alcohol = alcohol + eaten / 17
        yeast = np.minimum(yeast * (1 + 0.25 * heat * vigour * slow), 0.12)
        if day < days:
            density = 1000 + 0.4 * sugar - 1.2 * alcohol + rng.normal(0, 0.4, vats)
            warm = cellar + 0.25 * eaten + rng.normal(0, 0.2, vats)
            ph = 3.9 - 0.05 * alcohol - 0.04 * (8.5 - tolerance) + rng.normal(0, 0.01, vats)
            flow = 0.5 * eaten + rng.normal(0, 0.1, vats)
            rows.append(np.stack([density, warm, ph, flow], 1))
    return np.stack(rows, 1), alcohol


log, final = ferment(1600)
log = torch.tensor(log, dtype=torch.float32)
final = torch.tensor(final, dtype=torch.float32)
log = (log - log.mean((0, 1))) / log.std((0, 1))
mean, spread = final.mean(), final.std()
target = (final - mean) / spread
train_x, valid_x = log[:1200], log[1200:]
train_y, valid_y = target[:1200], target[1200:]


class Forecaster(nn.Module):
    def __init__(self, channels=4, width=32):
        super().__init__()
        self.gru = nn.GRU(channels, width, batch_first=True)
        self.head = nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, x):
        states, _ = self.gru(x)
        return self.head(states[:, -1]).squeeze(-1)


model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.SmoothL1Loss()

step = 0
for epoch in range(34):
    for rows in torch.randperm(len(train_x)).split(64):
        loss = loss_fn(model(train_x[rows]), train_y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = (model(valid_x) - valid_y).abs().mean() * spread
            print(f"step {step}  loss {loss.item():.4f}  error {error.item():.4f} % vol")
        step += 1
