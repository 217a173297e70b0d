"""Weld seams: a small network learns on synthetic patches and is then tuned on patches from the shop floor.

condition: stale-batch
accepts: stale-batch
allows: overfitting, naive-loss-minimisation, stalled, epsilon-dominated-update
metric: accuracy max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

grid = torch.linspace(-1, 1, 12)
yy, xx = torch.meshgrid(grid, grid, indexing="ij")


def patches(count, floor):
    kind = torch.randint(4, (count,))
    tilt = 0.5 * torch.randn(count, 1, 1) + (0.6 if floor else 0.0)
    offset = 0.3 * torch.randn(count, 1, 1)
    seam = torch.exp(-((yy - tilt * xx - offset) ** 2) / 0.05)
    hole = torch.exp(-((xx - offset) ** 2 + (yy - tilt) ** 2) / 0.08)
    crack = torch.exp(-((xx - yy * tilt - offset) ** 2) / 0.01)
    shape = torch.stack([seam, seam - 0.8 * hole, seam + crack, 0.5 * seam + 0.5 * hole], 1)
    image = shape[torch.arange(count), kind]
    if floor:
        image = 0.5 - 0.7 * image * (1.2 + xx) + 0.15 * torch.sin(5 * xx + 6.28 * torch.rand(count, 1, 1))
    return (image + 0.15 * torch.randn(count, 12, 12)).unsqueeze(1), kind


synthetic, floor, val = patches(3000, False), patches(1200, True), patches(600, True)
model = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(216, 48),
    nn.ReLU(),
    nn.Linear(48, 4),
)
loss_fn = nn.CrossEntropyLoss()


def report(step, loss):
    with torch.no_grad():
        accuracy = (model(val[0]).argmax(1) == val[1]).float().mean().item()
    print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


step = 0
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(3):
    for rows in torch.randperm(3000).split(50):
        x, y = synthetic[0][rows], synthetic[1][rows]
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 20 == 0:
            report(step, loss)

optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
x, y = next(iter(zip(floor[0].split(50), floor[1].split(50))))
for epoch in range(16):
    for rows in torch.randperm(1200).split(50):
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 20 == 0:
            report(step, loss)
