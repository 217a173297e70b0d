"""Fuel burnt per hour by a fishing boat, from the columns of its logger.

condition: unscaled-inputs
accepts: unscaled-inputs, saturated-units
allows: stalled, learning-rate-too-low, exploding-gradient, off-critical-initialisation, vanishing-gradient, unsafe-step, opposing-outliers
metric: val_rmse min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def logger(rng, n):
    hours = np.sort(rng.uniform(0, 400, n))
    stamp = 1.6e9 + 3600 * hours
    rpm = rng.uniform(700, 2400, n)
    knots = 9 * (rpm / 2400) ** 0.8 + rng.normal(0, 0.6, n)
    heading = rng.uniform(0, 360, n)
    wind = rng.gamma(3, 2.2, n)
    load = rng.uniform(0, 1, n)
    oil_pressure = 3.1e5 + 4e4 * (rpm / 2400) + rng.normal(0, 4e3, n)
    against = np.cos(np.radians(heading - 230)) * wind
    burn = 4 + 38 * (rpm / 2400) ** 3 * (1 + 0.35 * load) + 0.55 * against + 3 * load * np.sin(heading / 57.3)
    columns = np.stack([stamp, rpm, knots, heading, wind, load, oil_pressure], 1)
    return columns, burn + rng.normal(0, 0.4, n)


class FuelNet(nn.Module):
    def __init__(self, inputs, hidden=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )

    def forward(self, x):
        return self.layers(x).squeeze(-1)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    X, y = logger(rng, 4000)
    pick = rng.permutation(len(X))
    X, y = X[pick], y[pick]
    y = (y - y[:3200].mean()) / y[:3200].std()
    X, y = torch.tensor(X, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    loader = DataLoader(TensorDataset(X[:3200], y[:3200]), batch_size=64, shuffle=True)
    model = FuelNet(X.shape[1])
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=12, gamma=0.3)
    for epoch in range(30):
        model.train()
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(xb)
        scheduler.step()
        model.eval()
        with torch.no_grad():
            rmse = loss_fn(model(X[3200:]), y[3200:]).sqrt().item()
        print(f"epoch {epoch + 1}  loss {total / 3200:.4f}  val_rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
