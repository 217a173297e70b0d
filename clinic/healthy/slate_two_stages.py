"""Layers in slate cores: an encoder learns to fill in hidden samples, then a small head is fitted to it, then both.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LENGTH = 40


def cores(count):
    depth = torch.arange(LENGTH)
    period, phase = 6 + 10 * torch.rand(count, 1), 2 * math.pi * torch.rand(count, 1)
    bent = 0.6 * torch.randn(count, 1)
    trace = torch.sin(2 * math.pi * depth / period + phase + bent * torch.sin(depth / 12))
    return trace + 0.2 * torch.randn(count, LENGTH), (period.squeeze(1) - 11) / 3


class Encoder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.lift = nn.Conv1d(2, width, 5, padding=2)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 5, padding=2 * k, dilation=k) for k in (1, 2, 3))

    def forward(self, trace, seen):
        x = self.lift(torch.stack([trace * seen, seen], 1))
        for layer in self.layers:
            x = x + F.gelu(layer(x))
        return x


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
encoder, fill = Encoder(), nn.Conv1d(32, 1, 1)
head = nn.Sequential(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 1))
trace, period = cores(3000)
val, val_period = cores(800)


def filling(trace):
    seen = (torch.rand(trace.shape) > 0.3).float()
    miss = (fill(encoder(trace, seen)).squeeze(1) - trace).square() * (1 - seen)
    return miss.sum() / (1 - seen).sum()


def reading(trace, period):
    return F.mse_loss(head(encoder(trace, torch.ones_like(trace)).mean(2)).squeeze(1), period)


optimizer = torch.optim.Adam([*encoder.parameters(), *fill.parameters()], lr=2e-3)
for step in range(1, 701):
    rows = torch.randint(len(trace), (64,))
    if step == 251:
        encoder.requires_grad_(False)
        optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    if step == 401:
        encoder.requires_grad_(True)
        both = [{"params": encoder.parameters(), "lr": 3e-4}, {"params": head.parameters()}]
        optimizer = torch.optim.Adam(both, lr=1e-3)
    loss = filling(trace[rows]) if step <= 250 else reading(trace[rows], period[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_loss = (filling(val) if step <= 250 else reading(val, val_period)).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
