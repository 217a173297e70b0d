"""Load of a power grid for the next six hours: an LSTM with gradients gathered over four parts of a batch.

condition: always-clipping
accepts: always-clipping
allows: stalled, learning-rate-too-low
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

PARTS = 4


def grid_load(hours):
    t = torch.arange(float(hours))
    day, week = 2 * math.pi * t / 24, 2 * math.pi * t / 168
    cold = torch.zeros(hours)
    for i in range(1, hours):
        cold[i] = 0.98 * cold[i - 1] + 0.1 * torch.randn(())
    load = torch.sin(day - 1.8) + 0.5 * torch.sin(2 * day + 0.6) * (1 + 0.4 * torch.cos(week)) + 0.7 * cold
    return load + 0.4 * torch.relu(cold) * torch.cos(day) + 0.08 * torch.randn(hours)


class LoadLSTM(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 6)

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.head(output[:, -1])


def train_step(model, optimizer, loss_fn, x, y, limit):
    optimizer.zero_grad()
    total = 0.0
    for part_x, part_y in zip(x.chunk(PARTS), y.chunk(PARTS)):
        loss = loss_fn(model(part_x), part_y) / PARTS
        loss.backward()
        total += loss.item()
    nn.utils.clip_grad_norm_(model.parameters(), limit)
    optimizer.step()
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clip", type=float, default=0.01)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    load = grid_load(6000)
    windows = ((load - load.mean()) / load.std()).unfold(0, 36, 1)
    x, y = windows[:, :30].unsqueeze(2), windows[:, 30:]
    val_x, val_y = x[5000:], y[5000:]

    model = LoadLSTM()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    loss_fn = nn.MSELoss()
    for step in range(1, 501):
        rows = torch.randint(4900, (64,))
        loss = train_step(model, optimizer, loss_fn, x[rows], y[rows], args.clip)
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss:.4f}  val_loss {val_loss:.4f}")


main()
