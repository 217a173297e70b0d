"""Forecasts the depth of a loch for the next five days from thirty days of depth and rain with an LSTM.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: learning-rate-too-high, exploding-gradient, loss-spike, divergence, stalled, unsafe-step
metric: val_mse min
"""

import argparse

import numpy as np
import torch
from torch import nn


class DepthLSTM(nn.Module):
    def __init__(self, hidden=32, ahead=5):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, ahead)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1])


def loch(days, rng):
    season = np.sin(2 * np.pi * np.arange(days) / 365)
    rain = np.maximum(0, rng.normal(0.3 * season, 1.0, days))
    depth = np.zeros(days)
    for d in range(1, days):
        depth[d] = 0.93 * depth[d - 1] + 0.5 * rain[d - 1] - 0.02 * depth[d - 1] ** 2
    both = np.stack([depth, rain], 1)
    return (both - both.mean(0)) / both.std(0)


def windows(series, past=30, ahead=5):
    x = np.stack([series[i : i + past] for i in range(len(series) - past - ahead)])
    y = np.stack([series[i + past : i + past + ahead, 0] for i in range(len(series) - past - ahead)])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    series = loch(3000, np.random.default_rng(1931))
    x, y = windows(series[:2200])
    x_val, y_val = windows(series[2200:])
    model = DepthLSTM()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for epoch in range(18):
        order = torch.randperm(len(x))
        for i in range(0, len(x), 64):
            rows = order[i : i + 64]
            loss = loss_fn(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            val_mse = loss_fn(model(x_val), y_val).item()
        print(f"epoch {epoch + 1}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")
