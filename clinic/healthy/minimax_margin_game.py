"""Calibrated weights against a worst case: a regressor and an adversary that weighs six regions, by mirror ascent.

condition: healthy
metric: worst min
"""

import argparse

import torch
from torch import nn


def samples(count):
    region = torch.multinomial(torch.tensor([0.3, 0.2, 0.15, 0.15, 0.1, 0.1]), count, replacement=True)
    x = torch.randn(count, 5)
    bend = torch.tensor([0.0, 0.4, -0.4, 0.8, -0.8, 1.2])[region]
    y = x[:, 0] + bend * x[:, 1] * x[:, 2] + 0.3 * torch.sin(3 * x[:, 3]) + 0.1 * torch.randn(count)
    return torch.cat([x, nn.functional.one_hot(region, 6).float()], 1), y, region


class Adversary:
    """Weights of the regions: they grow with the regions' losses and are pulled back to even ones."""

    def __init__(self, regions=6, rate=0.05, pull=0.1):
        self.log_weight = torch.zeros(regions)
        self.rate, self.pull = rate, pull

    def weights(self):
        return self.log_weight.softmax(0)

    def answer(self, losses):
        self.log_weight = (1 - self.pull) * self.log_weight + self.rate * losses.detach()


def region_losses(error, region):
    total = torch.zeros(6).index_add(0, region, error)
    return total / torch.bincount(region, minlength=6).clamp_min(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = nn.Sequential(nn.Linear(11, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
adversary = Adversary()
val_x, val_y, val_region = samples(3000)

for step in range(1, 501):
    x, y, region = samples(128)
    losses = region_losses((model(x).squeeze(1) - y).square(), region)
    loss = (adversary.weights() * losses).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    adversary.answer(losses)
    if step % 20 == 0:
        with torch.no_grad():
            worst = region_losses((model(val_x).squeeze(1) - val_y).square(), val_region).max().item()
        print(f"step {step}  loss {loss.item():.4f}  worst {worst:.4f}")
