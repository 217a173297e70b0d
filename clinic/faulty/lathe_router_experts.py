"""Roughness of turned parts: six small experts and a router that decides more and more firmly.

condition: softmax-collapse
accepts: softmax-collapse
allows: stalled, vanishing-gradient, frozen-parameters, saturated-units
metric: val_mse min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


class Experts(nn.Module):
    def __init__(self, columns, experts=6):
        super().__init__()
        self.router = nn.Sequential(nn.Linear(columns, 32), nn.SiLU(), nn.Linear(32, experts))
        self.experts = nn.Linear(columns, experts)

    def forward(self, x, temperature):
        share = F.softmax(self.router(x) / temperature, dim=1)
        return (share * self.experts(x)).sum(1)


def parts(count, border):
    feed, speed, depth, wear = torch.randn(4, count)
    x = torch.stack([feed, speed, depth, wear], 1)
    angle = torch.atan2(speed, feed) + border
    regime = ((angle + 2 * math.pi) % (2 * math.pi) / (2 * math.pi) * 4).long() % 4
    slopes = torch.tensor([[1.0, 0.2, -0.5, 0.6], [-0.8, 0.5, 0.7, 0.0], [0.3, -1.0, 0.4, -0.6], [0.0, 0.9, -0.9, 0.5]])
    lift = torch.tensor([1.0, -1.0, 0.5, -0.5])
    return x, (slopes[regime] * x).sum(1) + lift[regime] + 0.15 * torch.randn(count)


def fit(seed, steps=1000, batch=128):
    torch.manual_seed(seed)
    model = Experts(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-4)
    for step in range(steps):
        if step % 500 == 0:
            border = step / 500
            held, rough = parts(2000, border)
        x, y = parts(batch, border)
        temperature = 0.98 ** max(0, step - 200)
        loss = F.mse_loss(model(x, temperature), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 24:
            with torch.no_grad():
                val_mse = F.mse_loss(model(held, temperature), rough).item()
            print(f"step {step + 1}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
fit(parser.parse_args().seed)
