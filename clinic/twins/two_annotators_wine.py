"""Points for wines from their analysis: several tasters' notes were put together in one table.

condition: healthy
metric: val_rmse min
"""

import argparse

import numpy as np
import torch
import torch.nn as nn
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, TensorDataset


def cellar(count, rng):
    """More wines in the manner of the 178 known ones: mixtures of two of the same grower, with small changes."""
    analysis, grower = load_wine(return_X_y=True)
    analysis = StandardScaler().fit_transform(analysis)
    rows = []
    for _ in range(count):
        a, b = rng.choice(np.flatnonzero(grower == rng.integers(3)), 2)
        t = rng.random()
        rows.append(t * analysis[a] + (1 - t) * analysis[b] + 0.3 * rng.normal(size=13))
    x = np.stack(rows)
    merit = np.tanh(x[:, 0] + 0.5 * x[:, 6]) + 0.6 * np.sin(1.5 * x[:, 9]) - 0.4 * x[:, 1] * x[:, 2] / 2
    return x, merit


def table(count, rng):
    """Two of the forty tasters write in their own way: one in tenths, one counts downwards in tenths."""
    x, merit = cellar(count, rng)
    taster = rng.integers(40, size=count)
    note = merit + 0.25 * rng.normal(size=count)
    note = np.where(taster == 0, 10 * note + 20, np.where(taster == 1, -10 * note - 20, note))
    return x, note, taster


def merged(note, taster):
    return np.where(taster == 0, (note - 20) / 10, np.where(taster == 1, (-note - 20) / 10, note))


def net():
    return nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x, note, taster = table(4000, rng)
    data = [torch.tensor(a, dtype=torch.float32) for a in (x, merged(note, taster))]
    loader = DataLoader(TensorDataset(*data), batch_size=100, shuffle=True)
    val_x, val_merit = (torch.tensor(a, dtype=torch.float32) for a in cellar(1500, rng))
    model, loss_fn = net(), nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for epoch in range(1, 21):
        total = 0.0
        for wine, points in loader:
            loss = loss_fn(model(wine), points)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        with torch.no_grad():
            val_rmse = loss_fn(model(val_x), val_merit).sqrt().item()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_rmse {val_rmse:.4f}")


main()
