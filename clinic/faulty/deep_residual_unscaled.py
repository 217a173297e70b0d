"""Quality of steel from twelve measures on the line: a deep residual network without norms.

condition: exploding-gradient
accepts: exploding-gradient, off-critical-initialisation, learning-rate-too-high
allows: divergence, unsafe-step, dead-units, loss-spike, non-finite, stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def he_linear(size_in, size_out):
    layer = nn.Linear(size_in, size_out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.zeros_(layer.bias)
    return layer


class ResidualBlock(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = he_linear(width, width)
        self.second = he_linear(width, width)
        self.strength = 1.0

    def forward(self, x):
        return x + self.strength * self.second(F.relu(self.first(x)))


class SteelNet(nn.Module):
    def __init__(self, measures=12, width=48, blocks=10):
        super().__init__()
        self.lift = nn.Linear(measures, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.grade = nn.Linear(width, 1)

    def forward(self, x):
        return self.grade(F.relu(self.blocks(self.lift(x)))).squeeze(-1)


class Line:
    def __init__(self):
        self.a, self.b = torch.randn(2, 12, 4) / 12**0.5

    def coils(self, count):
        x = torch.randn(count, 12)
        return x, (torch.tanh(x @ self.a) * torch.cos(x @ self.b)).sum(1)


def main(seed, steps=300):
    torch.manual_seed(seed)
    line = Line()
    model = SteelNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    loss_fn = nn.SmoothL1Loss()
    val_x, val_y = line.coils(300)
    for step in range(1, steps + 1):
        x, y = line.coils(32)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y)
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
