"""Tickets sold at tram stops, from the time of the sale as the machine logs it, the stop and the temperature.

condition: healthy
metric: val_mae min
"""

import argparse
import math

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def log_of_sales(count, seed):
    rng = np.random.default_rng(seed)
    minute = rng.integers(0, 1440, count)
    stop = rng.integers(0, 6, count)
    kelvin = 283 + 8 * rng.normal(size=count)
    hour = minute / 60
    sold = 2 * np.exp(-0.5 * ((hour - 8) / 1.2) ** 2) + 1.5 * np.exp(-0.5 * ((hour - 17.5) / 1.8) ** 2)
    sold = sold * np.linspace(0.4, 1.6, 6)[stop] - 0.03 * (kelvin - 283) + 0.1 * rng.normal(size=count)
    return minute * 60.0, stop, kelvin, sold


def table(count, seed):
    second, stop, kelvin, sold = log_of_sales(count, seed)
    clock = np.stack([second / 43200 - 1, second % 43200 / 21600 - 1], 1)
    kelvin = (kelvin - 283) / 8
    x = np.column_stack([clock, np.eye(6)[stop], kelvin])
    return torch.tensor(x, dtype=torch.float32), torch.tensor(sold, dtype=torch.float32)


class Tickets(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(9, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.out(self.hidden(x)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y = table(2000, seed)
    val_x, val_y = table(500, seed + 1)
    loader = DataLoader(TensorDataset(x, y), batch_size=50, shuffle=True)
    model = Tickets()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 16):
        for features, sold in loader:
            loss = loss_fn(model(features), sold)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_mae = (model(val_x) - val_y).abs().mean().item()
        print(f"epoch {epoch}  loss {math.sqrt(loss.item()):.4f}  val_mae {val_mae:.4f}")


main()
