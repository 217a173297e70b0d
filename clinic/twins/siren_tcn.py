"""A causal dilated convolution foretells the next sample of sirens whose pitch glides up and down.

condition: healthy
metric: decibels max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def sirens(n, rng, length=64):
    t = torch.arange(length)
    speed, base, swing = (torch.rand(3, n, 1, generator=rng) * torch.tensor([0.15, 0.4, 4.0])[:, None, None]).unbind(0)
    phase = 2 * math.pi * torch.rand(n, 1, generator=rng)
    wave = torch.sin((0.2 + base) * t + swing * torch.sin((0.05 + speed) * t + phase))
    return wave + 0.02 * torch.randn(n, length, generator=rng)


class CausalBlock(nn.Module):
    def __init__(self, width, dilation):
        super().__init__()
        self.pad = 2 * dilation
        self.conv = nn.Conv1d(width, width, 3, dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)

    def forward(self, x):
        return x + self.mix(F.silu(self.conv(F.pad(x, (self.pad, 0)))))


class SirenModel(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.blocks = nn.ModuleList([CausalBlock(width, d) for d in (1, 2, 4)])
        self.leave = nn.Conv1d(width, 1, 1)

    def forward(self, x):
        h = self.enter(x.unsqueeze(1))
        for block in self.blocks:
            h = block(h)
        return self.leave(h).squeeze(1)


def error(model, waves):
    return F.mse_loss(model(waves[:, :-1])[:, 8:], waves[:, 9:])


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = torch.Generator().manual_seed(args.seed)
train, val = sirens(320, rng), sirens(200, torch.Generator().manual_seed(5))
model = SirenModel()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = LambdaLR(optimizer, lambda epoch: 0.92**epoch)

for epoch in range(1, 41):
    for rows in torch.randperm(len(train), generator=rng).split(32):
        loss = error(model, train[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        decibels = 10 * math.log10(val.var().item() / error(model, val).item())
    print(f"epoch {epoch}  loss {loss.item():.5f}  decibels {decibels:.3f}")
