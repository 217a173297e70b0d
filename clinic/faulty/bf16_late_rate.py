"""Height of a dune field from where and when: Fourier features and a network in bfloat16, AdamW under a cosine.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: learning-rate-too-low, stalled
metric: rmse min
"""

import argparse
import math

import torch
from torch import nn


class Field(nn.Module):
    def __init__(self, frequencies=24, width=96):
        super().__init__()
        self.register_buffer("waves", 1.2 * torch.randn(3, frequencies, generator=torch.Generator().manual_seed(3)))
        self.layers = nn.ModuleList([nn.Linear(2 * frequencies, width), nn.Linear(width, width)])
        self.top = nn.Linear(width, 1)

    def forward(self, place):
        phase = place @ self.waves
        h = torch.cat([phase.sin(), phase.cos()], -1).to(self.top.weight.dtype)
        for layer in self.layers:
            h = nn.functional.gelu(layer(h))
        return self.top(h).float().squeeze(-1)


def dunes(count):
    place = 2 * torch.rand(count, 3) - 1
    x, y, t = place.unbind(1)
    height = torch.sin(4 * x + 1.5 * torch.sin(3 * y) - 2 * t) + 0.5 * torch.cos(5 * y - t) * x
    return place, height


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

STEPS = 900
model = Field().to(torch.bfloat16)
model.waves = model.waves.float()
optimizer = torch.optim.AdamW(model.parameters(), lr=7e-4, weight_decay=0.0)
rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 0.5 + 0.5 * math.cos(math.pi * min(1, s / STEPS)))
loss_fn = nn.MSELoss()
test_place, test_height = dunes(1000)

for step in range(1, STEPS + 1):
    place, height = dunes(64)
    loss = loss_fn(model(place), height)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    rate.step()
    if step % 30 == 0:
        with torch.no_grad():
            rmse = loss_fn(model(test_place), test_height).sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")
