"""The next hour's electric load from the last day: a GRU with a quantile loss.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def load_curve(hours):
    t = torch.arange(hours, dtype=torch.float32)
    day = torch.sin(6.2832 * t / 24) + 0.4 * torch.sin(12.566 * t / 24 + 1)
    week = 0.4 * torch.cos(6.2832 * t / 168)
    weather = torch.zeros(hours)
    shocks = 0.15 * torch.randn(hours)
    for k in range(1, hours):
        weather[k] = 0.95 * weather[k - 1] + shocks[k]
    return day + week + weather + 0.05 * torch.randn(hours)


class LastDay(Dataset):
    def __init__(self, curve):
        self.curve = curve

    def __len__(self):
        return len(self.curve) - 24

    def __getitem__(self, i):
        return self.curve[i : i + 24, None], self.curve[i + 24]


class Forecaster(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.gru = nn.GRU(1, width, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, day):
        return self.head(self.gru(day)[1][-1])


def pinball(guess, truth, q=0.5):
    gap = truth - guess
    return torch.maximum(q * gap, (q - 1) * gap).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    curve = load_curve(3000)
    train = DataLoader(LastDay(curve[:2400]), batch_size=64, shuffle=True)
    val_x, val_y = next(iter(DataLoader(LastDay(curve[2400:]), batch_size=576)))
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for epoch in range(1, 17):
        for day, hour in train:
            loss = pinball(model(day), hour)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        with torch.no_grad():
            val_loss = pinball(model(val_x).flatten(), val_y).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
