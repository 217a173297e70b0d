"""Power that a pump takes, from its pressure in pascal, its flow and the water's temperature in kelvin.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: stalled, loss-spike, learning-rate-too-high, learning-rate-too-low, dead-units, exploding-gradient, divergence, unsafe-step, bad-batch, off-critical-initialisation
metric: val_mae min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def records(n, rng):
    pressure = rng.uniform(1e5, 6e5, n)
    flow = rng.uniform(0.002, 0.03, n)
    kelvin = rng.uniform(275, 310, n)
    power = pressure * flow / (0.55 + 0.2 * np.sin(200 * flow)) / 5000 + 0.02 * (kelvin - 290)
    return np.stack([pressure, flow, kelvin], 1), power


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
X, y = records(3000, rng)
X_val, y_val = records(800, rng)
centre, spread = y.mean(), y.std()
y, y_val = (y - centre) / spread, (y_val - centre) / spread
X, y, X_val, y_val = (torch.tensor(a, dtype=torch.float32) for a in (X, y, X_val, y_val))
loader = DataLoader(TensorDataset(X, y), batch_size=64, shuffle=True)
model = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
for epoch in range(1, 21):
    for features, power in loader:
        loss = nn.functional.mse_loss(model(features).squeeze(1), power)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        mae = (model(X_val).squeeze(1) - y_val).abs().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_mae {mae:.4f}")
