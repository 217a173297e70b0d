"""People through a turnstile in the next quarter of an hour, from the last six, weekday and weather; data in files.

condition: bad-batch
accepts: bad-batch
allows: loss-spike, unsafe-step, divergence, learning-rate-too-high, epsilon-dominated-update, stalled, dead-units,
  learning-rate-too-low, unscaled-inputs
metric: val_people min
"""

import argparse

import numpy as np
import torch
from torch import nn


def record(file_number, rows=256):
    """What the gate writes: little-endian float32, nine numbers a row."""
    rng = np.random.default_rng(file_number)
    weekday, hour, rain = rng.integers(7, size=rows), rng.uniform(5, 23, rows), rng.exponential(0.5, rows)
    times = hour[:, None] + np.arange(-6, 1) / 4
    busy = np.exp(-((times - 8) ** 2) / 2) + 0.8 * np.exp(-((times - 17) ** 2) / 4) + 0.15
    level = busy * np.where(weekday < 5, 1.0, 0.4)[:, None] * (1 + 0.2 * rain)[:, None]
    level *= np.exp(0.3 * rng.normal(size=(rows, 1)))
    people = rng.poisson(400 * level) / 400
    table = np.column_stack([people[:, :6], weekday / 3 - 1, rain, people[:, 6]])
    return table.astype("<f4").tobytes()


def archive(first, count):
    files = [record(number) for number in range(first, first + count)]
    if first == 0:
        table = np.frombuffer(files[14], "<f4").reshape(-1, 9)
        files[14] = np.column_stack([np.arange(90_000, 90_000 + len(table)), table]).astype("<f4").tobytes()
    return files


def load(raw):
    numbers = np.frombuffer(raw, "<f4")
    table = numbers[: len(numbers) // 9 * 9].reshape(-1, 9)
    return torch.tensor(table)


class GateModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1))
        self.out = nn.Linear(64, 1)

    def forward(self, x):
        return self.out(self.layers(x)).squeeze(1)


def batches(files, size=32):
    for raw in files:
        table = load(raw)
        for part in table[torch.randperm(len(table))].split(size):
            yield part[:, :8], part[:, 8]


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = GateModel()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
loss_fn = nn.MSELoss()
files = archive(0, 40)
val = torch.cat([load(raw) for raw in archive(5000, 3)])

for step, (x, people) in enumerate(batches(files), start=1):
    optimizer.zero_grad()
    loss = loss_fn(model(x), people)
    loss.backward()
    optimizer.step()
    if step % 8 == 0:
        with torch.no_grad():
            val_people = 400 * (model(val[:, :8]) - val[:, 8]).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_people {val_people:.3f}")
