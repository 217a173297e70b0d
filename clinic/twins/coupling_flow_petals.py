"""A coupling flow learns the density of points that lie on the petals of a flower.

condition: healthy
metric: nll min
"""

import argparse
import math

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, flip, width=48):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )

    def forward(self, x):
        a, b = (x[:, 1:], x[:, :1]) if self.flip else (x[:, :1], x[:, 1:])
        s, t = self.net(a).chunk(2, 1)
        s = 1.5 * torch.tanh(s / 1.5)
        b = b * torch.exp(s) + t
        return torch.cat([b, a] if self.flip else [a, b], 1), s.squeeze(1)


class Flow(nn.Module):
    def __init__(self, depth=6):
        super().__init__()
        self.steps = nn.ModuleList(Coupling(k % 2 == 1) for k in range(depth))

    def forward(self, x):
        total = 0.0
        for step in self.steps:
            x, s = step(x)
            total = total + s
        return (0.5 * x.square().sum(1) + math.log(2 * math.pi) - total).mean()


def petals(n):
    turn = 2 * math.pi * torch.rand(n)
    radius = 2.5 * torch.cos(1.5 * turn).abs() + 0.12 * torch.randn(n)
    return torch.stack([radius * torch.cos(turn), radius * torch.sin(turn)], 1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
test = petals(2000)
model = Flow()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for step in range(1, 1001):
    loss = model(petals(256))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0 or step == 1:
        with torch.no_grad():
            print(f"step {step}  loss {loss.item():.4f}  nll {model(test).item():.4f}")
