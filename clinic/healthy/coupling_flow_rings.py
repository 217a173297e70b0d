"""A normalising flow of affine couplings learns the density of a thin ring; its loss goes below zero.

condition: healthy
metric: nll min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def ring(size):
    angle = 2 * math.pi * torch.rand(size)
    radius = 0.3 + 0.02 * torch.randn(size)
    return torch.stack([angle.cos(), angle.sin()], dim=1) * radius[:, None]


class Coupling(nn.Module):
    def __init__(self, flip, width=32):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )

    def forward(self, x):
        x = x.flip(1) if self.flip else x
        log_scale, shift = self.net(x[:, :1]).chunk(2, dim=1)
        log_scale = 2 * torch.tanh(log_scale / 2)
        return torch.cat([x[:, :1], x[:, 1:] * log_scale.exp() + shift], dim=1), log_scale.squeeze(1)


class Flow(nn.Module):
    def __init__(self, depth=6):
        super().__init__()
        self.couplings = nn.ModuleList([Coupling(flip=i % 2 == 1) for i in range(depth)])

    def forward(self, x):
        volume = torch.zeros(len(x))
        for coupling in self.couplings:
            x, log_scale = coupling(x)
            volume = volume + log_scale
        return 0.5 * x.square().sum(1) + math.log(2 * math.pi) - volume


model = Flow()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=200, gamma=0.5)

running = 0.0
for step in range(1, 501):
    loss = model(ring(128)).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    scheduler.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  nll {running / 20:.4f}")
        running = 0.0
