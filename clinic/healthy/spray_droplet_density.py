"""Sizes of droplets in a spray: a mixture density network gives their likelihood, which may exceed 1.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


class Mixture(nn.Module):
    def __init__(self, parts=4):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3 * parts))

    def forward(self, setting, size):
        weight, mean, log_std = self.body(setting).chunk(3, 1)
        log_std = log_std.clamp(-5, 2)
        z = (size - mean) * (-log_std).exp()
        each = weight.log_softmax(1) - 0.5 * z.square() - log_std - 0.5 * math.log(2 * math.pi)
        return -each.logsumexp(1).mean()


def spray(n):
    setting = torch.rand(n, 2) * 2 - 1
    fine = torch.rand(n, 1) < 0.5 + 0.3 * setting[:, :1]
    size = torch.where(fine, 0.3 * setting[:, 1:], 1 + 0.4 * setting[:, :1]) + 0.03 * torch.randn(n, 1)
    return setting, size


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    held = spray(1500)
    model = Mixture()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    warm = lambda s: min((s + 1) / 100, 0.5 + 0.5 * math.cos(math.pi * s / 1000))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, warm)
    for step in range(1, 1001):
        loss = model(*spray(96))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_nll {model(*held).item():.4f}")


main()
