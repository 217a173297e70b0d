"""Echoes in a cave: a deep plain convolutional network gives the depth profile of the passage.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def setup(module):
    if isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(module.bias)


def echoes(count, length=48):
    t = torch.arange(length) / length
    depth = 0.5 + torch.zeros(count, length)
    for k in (1, 2, 3):
        a, phase = torch.randn(count, 1) / (2 * k), 6.28 * torch.rand(count, 1)
        depth = depth + 0.5 * a * torch.sin(6.28 * k * t + phase)
    delays = torch.stack([torch.cos((4 + 3 * i) * depth) for i in range(4)], 1)
    return delays + 0.15 * torch.randn(count, 4, length), depth


def network(width=20, depth=7):
    layers = [nn.Conv1d(4, width, 5, padding=2), nn.ReLU()]
    for _ in range(depth):
        layers += [nn.Conv1d(width, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv1d(width, 1, 1)).apply(setup)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)
    loss_fn = nn.L1Loss()
    val_x, val_y = echoes(300)
    for step in range(1, 501):
        x, y = echoes(24)
        loss = loss_fn(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x).squeeze(1), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
