"""From eight points of an unknown wave a hypernetwork makes the first layer of a small network that draws the rest.

condition: detached-parameters
accepts: detached-parameters
allows: frozen-parameters, stalled, learning-rate-too-low
metric: error min
"""

import argparse
import math

import torch
from torch import nn

UNITS, TASKS, SEEN = 24, 4, 8


def wave_task():
    """A sine of random height and phase: eight of its points, and thirty more to be told."""
    height, phase = 0.5 + torch.rand(1), 2 * math.pi * torch.rand(1)
    x = torch.rand(SEEN + 30, 1) * 2 - 1
    y = height * torch.sin(3 * x + phase)
    return torch.cat([x, y], 1)[:SEEN], x[SEEN:], y[SEEN:]


class HyperWave(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
        self.to_weight = nn.Linear(64, 2 * UNITS)
        self.inner = nn.Linear(1, UNITS)
        self.readout = nn.Linear(UNITS, 1)

    def forward(self, seen, x):
        made = self.to_weight(self.encoder(seen).mean(0))
        self.inner.weight.data = 3 * made[:UNITS].view(UNITS, 1)
        self.inner.bias.data = made[UNITS:]
        return self.readout(torch.tanh(self.inner(x)))


def task_loss(model, task, loss_fn):
    seen, x, y = task
    return loss_fn(model(seen, x), y)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = HyperWave()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    loss_fn = nn.MSELoss()
    exam = [wave_task() for _ in range(100)]
    for step in range(1, 401):
        optimizer.zero_grad()
        for _ in range(TASKS):
            (task_loss(model, wave_task(), loss_fn) / TASKS).backward()
        optimizer.step()
        schedule.step()
        if step % 16 == 0:
            with torch.no_grad():
                error = sum(task_loss(model, task, loss_fn).item() for task in exam) / len(exam)
            print(f"step {step}  error {error:.4f}")


if __name__ == "__main__":
    main()
