"""Probes in a brine tank: a flow of affine couplings gives the joint density of six readings.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, size, flip, width=48):
        super().__init__()
        self.half, self.flip = size // 2, flip
        self.net = nn.Sequential(
            nn.Linear(self.half, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        a, b = x[:, : self.half], x[:, self.half :]
        if self.flip:
            a, b = b, a
        shift, scale = self.net(a).chunk(2, 1)
        scale = torch.tanh(scale)
        b = b * scale.exp() + shift
        return torch.cat([b, a] if self.flip else [a, b], 1), scale.sum(1)


class Flow(nn.Module):
    def __init__(self, size=6, layers=6):
        super().__init__()
        self.layers = nn.ModuleList(Coupling(size, i % 2 == 1) for i in range(layers))

    def nll(self, x):
        volume = 0.0
        for layer in self.layers:
            x, change = layer(x)
            volume = volume + change
        return (0.5 * x.square() + 0.5 * math.log(2 * math.pi)).sum(1).sub(volume).mean()


def probes(count):
    depth, salt, heat = torch.randn(3, count)
    noise = 0.35 * torch.randn(6, count)
    rows = [
        depth,
        salt + 0.4 * depth**2,
        heat - 0.5 * salt,
        torch.sin(2 * depth) + 0.4 * heat,
        depth * salt / 1.5,
        heat.abs(),
    ]
    return (torch.stack(rows) + noise).T / 1.2


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

data, val = probes(12000), probes(1500)
model = Flow()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
for step in range(1, 901):
    loss = model.nll(data[torch.randint(len(data), (100,))])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            val_nll = model.nll(val).item()
        print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")
