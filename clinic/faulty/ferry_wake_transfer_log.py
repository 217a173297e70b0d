"""Wakes of ferries: a trunk and a head learn on one harbour, then both go on in another one with a gentle rise of the rate.

condition: frozen-parameters
accepts: frozen-parameters
allows: stalled, learning-rate-too-low, scheduler-misuse
metric: val_mse min
"""

import argparse

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def wakes(n, harbour):
    x = torch.randn(n, 5)
    turn = x if harbour == 0 else x.roll(1, 1) * torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])
    y = torch.sin(2 * turn[:, 0]) + turn[:, 1] * turn[:, 2] + 0.5 * torch.cos(2 * turn[:, 3] + turn[:, 4])
    return x, y.unsqueeze(1)


def train(trunk, head, harbour, steps, schedule, done):
    model = nn.Sequential(trunk, head)
    optimizer = torch.optim.Adam([{"params": trunk.parameters()}, {"params": head.parameters()}], lr=2e-3)
    scheduler = LambdaLR(optimizer, schedule)
    loss_fn = nn.MSELoss()
    val_x, val_y = wakes(1000, harbour)
    for step in range(done + 1, done + steps + 1):
        x, y = wakes(64, harbour)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                val = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    trunk = nn.Sequential(nn.Linear(5, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU())
    head = nn.Linear(96, 1)
    fall = lambda s: 1 - 0.9 * s / 600
    train(trunk, head, 0, 600, [fall, fall], 0)
    fall = lambda s: 1 - 0.9 * s / 900
    slow = lambda s: min(1, (s + 1) // 1000)
    train(trunk, head, 1, 900, [slow, fall], 600)


main()
