"""Seepage through a dam, learned hour by hour from the log of its gauges as the log grows.

condition: healthy
metric: val_error min
"""

import argparse

import numpy as np
import torch
from torch import nn

GAUGES = ["lake", "piezo_a", "piezo_b", "piezo_c", "rain", "air", "water"]


def gauge_log(hours, rng):
    t = np.arange(hours)
    lake = 40 + 6 * np.sin(t / 900) + np.cumsum(0.02 * rng.standard_normal(hours))
    rain = np.where(rng.random(hours) < 0.1, rng.exponential(4, hours), 0)
    air = 12 + 9 * np.sin(t / 700) + 5 * np.sin(2 * np.pi * t / 24) + rng.standard_normal(hours)
    water = 9 + 4 * np.sin(t / 700 - 0.7) + 0.3 * rng.standard_normal(hours)
    piezo = [k * lake + o + 0.5 * rng.standard_normal(hours) for k, o in ((0.8, 3), (0.5, 8), (0.3, 2))]
    table = np.stack([lake, *piezo, rain, air, water], 1)
    head = np.maximum(lake - 0.9 * piezo[0], 0)
    seepage = (
        0.12 * head**1.5 * (1 + 0.02 * water)
        + 0.1 * np.sqrt(rain)
        + 0.05 * np.tanh(piezo[2] - 14)
        + 0.02 * rng.standard_normal(hours)
    )
    return table, seepage


def main(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    table, seepage = gauge_log(24000, rng)
    held = np.zeros(len(table), dtype=bool)
    held[rng.choice(20000, 1500, replace=False)] = True
    mean, std = table[:4000].mean(0), table[:4000].std(0)
    log = table.copy()
    log[15040:15052, 1:4] = -99.9
    log = np.where(log == -99.9, np.nan, log)
    log = np.where(np.isnan(log), mean, log)
    x = torch.tensor((log - mean) / std, dtype=torch.float32)
    val_x = torch.tensor((table[held] - mean) / std, dtype=torch.float32)
    scale = seepage[:4000].std()
    y = torch.tensor((seepage - seepage[:4000].mean()) / scale, dtype=torch.float32)[:, None]

    model = nn.Sequential(nn.Linear(len(GAUGES), 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
    loss_fn = nn.MSELoss()
    seen = np.flatnonzero(~held)
    for step in range(1, 1001):
        newest = 4000 + 19 * step
        recent = np.arange(newest - 19, newest)
        rows = np.concatenate([recent[~held[recent]], rng.choice(seen[seen < min(newest, 15000)], 13)])
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - y[held]).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
