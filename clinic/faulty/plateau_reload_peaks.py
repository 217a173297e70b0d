"""Heights of mountain peaks from their shadows: a small ConvNet that goes back to its best state at each milestone.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters, frozen-parameters, detached-parameters
allows: frozen-parameters, detached-parameters, stalled, learning-rate-too-low
metric: val_rmse min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn


def peaks(count, size=16):
    height, broad = torch.rand(count, 1, 1) * 2 + 0.5, torch.rand(count, 1, 1) * 2 + 1.5
    cx, cy = torch.rand(2, count, 1, 1) * 8 + 4
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    sun = torch.rand(count, 1, 1) * 0.6 + 0.7
    hill = height * torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * broad**2))
    slope = hill[:, :, 1:] - hill[:, :, :-1]
    shade = torch.sigmoid(4 * (slope * sun + 0.1)) + 0.1 * torch.randn(count, size, size - 1)
    return (shade.unsqueeze(1) - 0.6) * 3, height.flatten() - 1.5


def network():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(384, 48),
        nn.ReLU(),
        nn.Linear(48, 1),
    )


def rmse(model, x, y):
    with torch.no_grad():
        return F.mse_loss(model(x).squeeze(1), y).sqrt().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
x, y = peaks(3000)
x_val, y_val = peaks(800)
model = network()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
best, lowest = copy.deepcopy(model), float("inf")
for epoch in range(1, 19):
    if epoch in (5, 14):
        model = copy.deepcopy(best)
        for group in optimizer.param_groups:
            group["lr"] *= 0.5
    for rows in torch.randperm(len(y)).split(60):
        loss = F.mse_loss(model(x[rows]).squeeze(1), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    val_rmse = rmse(model, x_val, y_val)
    if val_rmse < lowest:
        best, lowest = copy.deepcopy(model), val_rmse
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")
