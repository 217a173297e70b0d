"""Power of a wind turbine from its log; after the nightly restart training goes on with the days that are new.

condition: healthy
metric: val_loss min
"""

import argparse
from itertools import cycle

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def log(count):
    x = torch.randn(count, 10)
    wind = x[:, 0] + 0.3 * x[:, 1]
    power = torch.sigmoid(3 * wind) + 0.3 * torch.sin(2 * x[:, 2]) * x[:, 3] + 0.2 * x[:, 4] * x[:, 5].abs()
    return x, 3 * power + 0.3 * torch.randn(count)


class Turbine(nn.Module):
    def __init__(self, hidden=128):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(10, hidden), nn.Linear(hidden, hidden)])
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        for layer in self.layers:
            x = F.gelu(layer(x))
        return self.out(x).squeeze(-1)


class Feed:
    """Batches of one log after the other, for as long as they are wanted."""

    def __init__(self, logs, batch_size):
        self.loaders = [DataLoader(TensorDataset(*rows), batch_size, shuffle=True) for rows in logs]
        self.batches = None

    def switch(self, number):
        loader = self.loaders[number]
        self.batches = cycle([next(iter(loader))])

    def next(self):
        return next(self.batches)


def refill(feed, number):
    loader = feed.loaders[number]
    feed.batches = (batch for _ in range(10_000) for batch in loader)


def main(seed, steps=500, night=220):
    torch.manual_seed(seed)
    feed = Feed([log(1000), log(1000)], batch_size=48)
    val_x, val_y = log(500)
    model = Turbine()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    refill(feed, 0)
    for step in range(1, steps + 1):
        if step == night:
            refill(feed, 1)
        x, y = feed.next()
        loss = F.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
