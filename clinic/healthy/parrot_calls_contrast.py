"""Parrots from pairs of calls: two networks learn that a call and its echo belong together, with a scale that is learned.

condition: healthy
metric: recall max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def calls(count):
    """A call of four formants, heard near by and, filtered and late, across the valley."""
    pitch = torch.rand(count, 4, 1)
    power = 0.5 + torch.rand(count, 4, 1)
    axis = torch.linspace(0, 1, 48)
    near = (power * torch.exp(-(((axis - pitch) / 0.04) ** 2))).sum(1)
    echo = (power * torch.exp(-3 * pitch) * torch.exp(-(((axis - 0.8 * pitch - 0.1) / 0.05) ** 2))).sum(1)
    return near + 0.1 * torch.randn(count, 48), 3 * echo + 0.15 * torch.randn(count, 48)


def tower():
    return nn.Sequential(nn.Linear(48, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 32))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.near, self.echo = tower(), tower()
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, near, echo):
        a, b = F.normalize(self.near(near), dim=-1), F.normalize(self.echo(echo), dim=-1)
        return self.log_scale.clamp(max=math.log(100)).exp() * a @ b.T


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Pair()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
total = 1200
scheduler = torch.optim.lr_scheduler.LambdaLR(
    optimizer, lambda s: min(1.0, s / 100) * 0.5 * (1 + math.cos(math.pi * s / total))
)
exam = calls(400)

for step in range(1, total + 1):
    scores = model(*calls(96))
    own = torch.arange(len(scores))
    loss = 0.5 * (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 60 == 0:
        with torch.no_grad():
            recall = (model(*exam).argmax(1) == torch.arange(400)).float().mean().item()
            scale = model.log_scale.exp().item()
        print(f"step {step}  loss {loss.item():.4f}  scale {scale:.1f}  recall {recall:.4f}")
