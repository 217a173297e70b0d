"""Lift of a thin wing from its shape and angle: residual blocks, and the tower is made taller once the small one has learned.

condition: exploding-gradient
accepts: exploding-gradient
allows: divergence, loss-spike, unsafe-step, learning-rate-too-high, dead-units, non-finite
metric: val_error min
"""

import argparse
import copy
import math

import torch
from torch import nn


def wings(count, generator):
    """Thickness, camber, its place, angle of attack, Reynolds, flap: lift with a stall that comes on softly."""
    x = torch.rand(count, 6, generator=generator) * 2 - 1
    thick, camber, place, angle, reynolds, flap = x.unbind(1)
    attack = 2 * angle + 0.8 * camber + 0.5 * flap
    stall = torch.sigmoid(6 * (attack - 1.1 - 0.4 * thick - 0.3 * reynolds))
    lift = attack * (1 - stall) + stall * (0.6 - 0.3 * torch.sin(3 * place))
    lift = lift + 0.2 * torch.sin(math.pi * (place + flap)) * camber
    return x, (lift / 0.9).unsqueeze(1)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        return x + self.second(torch.relu(self.first(x)))


class Tower(nn.Module):
    def __init__(self, width=48, blocks=3):
        super().__init__()
        self.enter, self.leave = nn.Linear(6, width), nn.Linear(width, 1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))

    def forward(self, x):
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(x)

    def grow(self, times):
        taller = []
        for block in self.blocks:
            taller.append(block)
            for _ in range(times - 1):
                above = copy.deepcopy(block)
                taller.append(above)
        self.blocks = nn.ModuleList(taller)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
model = Tower()
loss_fn = nn.MSELoss()
val_x, val_y = wings(1000, generator)

step = 0
for stage, steps, rate in ((0, 500, 2e-3), (1, 600, 5e-4)):
    if stage:
        model.grow(5)
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(steps):
        step += 1
        x, y = wings(64, generator)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {error:.5f}")
