"""How many rolls will a bakery sell tomorrow? A GRU over two weeks of sales and weather; micro-batches and a cosine.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-low
metric: val_rolls min
"""

import argparse
import math

import torch
from torch import nn

STEPS, MICRO, WARMUP = 240, 6, 20


class Sales:
    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def batch(self, count, days=14):
        g = self.generator
        level = 1 + 0.3 * torch.randn(count, 1, generator=g)
        weekday = torch.randint(7, (count, 1), generator=g) + torch.arange(days + 1)
        sun = torch.randn(count, days + 1, generator=g)
        trend = 0.03 * torch.randn(count, 1, generator=g) * torch.arange(days + 1)
        week = torch.tensor([0.0, -0.3, -0.2, 0.0, 0.3, 0.8, 0.5])[weekday % 7]
        sold = level * (1 + 0.5 * week) + trend + 0.15 * sun * (week > 0) + 0.05 * torch.randn(sun.shape, generator=g)
        phase = weekday * (2 * math.pi / 7)
        x = torch.stack([sold[:, :-1] - 1, sun[:, :-1], phase[:, :-1].sin(), phase[:, :-1].cos()], 2)
        tomorrow = torch.stack([sun[:, -1], phase[:, -1].sin(), phase[:, -1].cos()], 1)
        return x, tomorrow, sold[:, -1] - 1


class Forecaster(nn.Module):
    def __init__(self, hidden=40):
        super().__init__()
        self.gru = nn.GRU(4, hidden, batch_first=True)
        self.out = nn.Sequential(nn.Linear(hidden + 3, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, past, tomorrow):
        _, state = self.gru(past)
        return self.out(torch.cat([state[0], tomorrow], 1)).squeeze(1)


def factor(step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - WARMUP) / (STEPS - WARMUP))))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)

sales = Sales(seed)
val = sales.batch(400)
model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
loss_fn = nn.MSELoss()

for step in range(1, STEPS + 1):
    total = 0.0
    for _ in range(MICRO):
        past, tomorrow, sold = sales.batch(8)
        loss = loss_fn(model(past, tomorrow), sold) / MICRO
        loss.backward()
        total += loss.item()
        scheduler.step()
    optimizer.step()
    optimizer.zero_grad()
    if step % 8 == 0:
        with torch.no_grad():
            val_rolls = 100 * loss_fn(model(val[0], val[1]), val[2]).sqrt().item()
        print(f"step {step}  loss {total:.4f}  val_rolls {val_rolls:.3f}")
