"""Counts of rented bikes, hour by hour, from hour, weather and station; the log comes one day at a time.

condition: healthy
metric: val_error min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

STATIONS = 12


class DailyLog(IterableDataset):
    """Yields one batch a day: stations (n,), features (n, 4) and log counts (n,)."""

    def __init__(self, days, seed):
        self.days, self.seed = days, seed
        town = np.random.default_rng(seed)
        self.size = town.normal(0, 0.5, STATIONS)
        self.lag = town.normal(0, 2.0, STATIONS)
        self.outage = int(0.62 * days)

    def day(self, number):
        rng = np.random.default_rng([self.seed, number])
        station = rng.integers(STATIONS, size=64)
        hour = rng.uniform(0, 24, 64)
        warm = 12 + 9 * np.sin(2 * np.pi * number / 365) + rng.normal(0, 3) + rng.normal(0, 0.5, 64)
        rain = np.full(64, max(0.0, rng.normal(0, 1.5)))
        commute = np.exp(-((hour - 8 - self.lag[station] / 4) ** 2) / 4) + np.exp(-((hour - 17.5) ** 2) / 6)
        count = 1.5 * commute + self.size[station] + 0.05 * (warm - 12) - 0.25 * rain + rng.normal(0, 0.1, 64)
        features = np.stack([np.sin(hour * np.pi / 12), np.cos(hour * np.pi / 12), (warm - 12) / 8, rain], 1)
        if number == self.outage:
            features[:, 2:] = -999.0
        return station, features, count

    def __iter__(self):
        for number in range(self.days):
            station, features, count = self.day(number)
            if (features < -900).any():
                continue
            yield torch.tensor(station), torch.tensor(features).float(), torch.tensor(count).float()


class CountModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.station = nn.Embedding(STATIONS, 8)
        self.net = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, station, features):
        return self.net(torch.cat([self.station(station), features], 1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    log = DailyLog(days=420, seed=seed)
    held = [log.day(number) for number in range(1000, 1365, 12)]
    station, features, count = (torch.tensor(np.concatenate(part)) for part in zip(*held, strict=True))
    model = CountModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.SmoothL1Loss()
    for step, batch in enumerate(DataLoader(log, batch_size=None), start=1):
        loss = loss_fn(model(batch[0], batch[1]), batch[2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_error = (model(station, features.float()) - count).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
