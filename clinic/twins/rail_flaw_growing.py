"""Flaws in rails from ultrasonic echoes: a shallow convolutional network first, then a deeper one grown out of it.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

KINDS, LENGTH, CHANNELS = 4, 96, 16


def echoes(count):
    """Sound rail, a crack, two cracks, or a worn foot; each with the speckle of the grain."""
    kind = torch.randint(KINDS, (count,))
    time = torch.arange(LENGTH).float()

    def burst(place, height):
        shape = torch.exp(-(((time - place) / 4) ** 2)) * torch.cos(1.1 * (time - place))
        return height * shape

    first = 15 + 50 * torch.rand(count, 1)
    second = first + 9 + 12 * torch.rand(count, 1)
    floor = 86 + torch.randn(count, 1)
    trace = burst(floor, torch.where(kind == 3, 0.5, 1.6).unsqueeze(1))
    trace = trace + burst(first, ((kind == 1) | (kind == 2)).float().unsqueeze(1))
    trace = trace + burst(second, (kind == 2).float().unsqueeze(1))
    return (trace + 0.35 * torch.randn(count, LENGTH)).unsqueeze(1), kind


class Trunk(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv1d(1, CHANNELS, 9, stride=2, padding=4)
        self.blocks = nn.ModuleList([nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(2)])
        self.head = nn.Linear(2 * CHANNELS, KINDS)

    def grow(self, count):
        for _ in range(count):
            conv = nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1)
            nn.init.dirac_(conv.weight)
            nn.init.zeros_(conv.bias)
            self.blocks.append(conv)

    def forward(self, x):
        x = F.relu(self.stem(x))
        for conv in self.blocks:
            x = F.relu(conv(x))
        return self.head(torch.cat([x.amax(2), x.mean(2)], 1))


def fit(model, optimizer, steps):
    for step in steps:
        trace, kind = echoes(40)
        loss = F.cross_entropy(model(trace), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                wrong = (model(HELD[0]).argmax(1) != HELD[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {wrong:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

HELD = echoes(800)
model = Trunk()
fit(model, torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9), range(1, 401))
model.grow(8)
fit(model, torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9), range(401, 901))
