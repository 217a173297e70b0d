"""The power of a wind park six hours ahead, from two days of wind at three masts: a GRU on standardised series.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

HISTORY, AHEAD = 48, 6


def simulate(hours=9000):
    noise = torch.randn(hours, 3)
    wind = torch.zeros(hours, 3)
    slow = torch.zeros(3)
    for hour in range(1, hours):
        slow = 0.98 * slow + 0.15 * (noise[hour] + noise[hour].mean())
        wind[hour] = 8 + 3 * slow + 1.5 * math.sin(2 * math.pi * hour / 24) + 0.3 * noise[hour]
    wind = wind.clamp(min=0)
    mean = wind.mean(1)
    power = (mean / 10).clamp(max=1.7) ** 3 + 0.02 * torch.randn(hours)
    return wind, power


def windows(wind, power):
    starts = torch.arange(0, len(wind) - HISTORY - AHEAD, 3)
    series = torch.cat([wind, power.unsqueeze(1)], dim=1)
    series = (series - series.mean(0)) / series.std(0)
    x = torch.stack([series[s : s + HISTORY] for s in starts])
    return x, series[starts + HISTORY + AHEAD - 1, 3]


class Forecaster(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gru = nn.GRU(4, width, batch_first=True)
        self.hidden = nn.Linear(width, 32)
        self.power = nn.Linear(32, 1)

    def forward(self, x):
        state = self.gru(x)[1][0]
        return self.power(torch.relu(self.hidden(state))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = windows(*simulate())
    cut = int(0.8 * len(x))
    loader = DataLoader(TensorDataset(x[:cut], y[:cut]), batch_size=64, shuffle=True)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=16)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 17):
        for rows, ahead in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(rows), ahead)
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            error = loss_fn(model(x[cut:]), y[cut:]).sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
