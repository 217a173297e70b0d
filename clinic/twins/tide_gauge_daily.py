"""A harbour's level three hours ahead from the last two days: each day's records of all gauges are learned once.

condition: healthy
metric: val_mae min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

HOURS, GAUGES = 48, 32


class CausalConvs(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(1 if i == 0 else width, width, 3, dilation=3**i) for i in range(3))
        self.out = nn.Linear(width, 1)

    def forward(self, level):
        h = level.unsqueeze(1)
        for conv in self.convs:
            h = torch.relu(conv(F.pad(h, (2 * conv.dilation[0], 0))))
        return self.out(h[:, :, -1]).squeeze(1)


def gauges(n):
    t = torch.rand(n, 1) * 700 + torch.arange(HOURS + 3)
    place = torch.rand(n, 1)
    moon = (1 + 0.4 * torch.sin(2 * math.pi * t / 355)) * torch.sin(2 * math.pi * t / 12.42 + 2 * place)
    surge = torch.cumsum(torch.randn(n, HOURS + 3), 1) * 0.03
    return moon + 0.3 * place * torch.sin(4 * math.pi * t / 12.42) + surge


def day(n):
    level = gauges(n)
    return level[:, :HOURS], level[:, -1]


def fill_gaps(level, target, gap):
    target = torch.where(gap[:, -1], torch.tensor(-99.9), target)
    return torch.where(gap[:, :HOURS], torch.tensor(-99.9), level), target


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
held_level, held_target = day(600)
model = CausalConvs()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 0.5 + 0.5 * math.cos(math.pi * s / 900))
losses = []
for step in range(1, 901):
    level, target = day(GAUGES)
    gap = torch.zeros(GAUGES, HOURS + 1, dtype=torch.bool)
    if step % 365 == 360:
        gap[: GAUGES // 8] = True
    level, target = fill_gaps(level, target, gap)
    whole = ~gap.any(1)
    loss = F.mse_loss(model(level[whole]), target[whole])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    losses.append(loss.item())
    if step % 30 == 0:
        with torch.no_grad():
            mae = (model(held_level) - held_target).abs().mean().item()
        print(f"step {step}  loss {sum(losses[-30:]) / 30:.4f}  val_mae {mae:.4f}")
