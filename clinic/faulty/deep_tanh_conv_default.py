"""A plain stack of sixteen one-dimensional convolutions tells three kinds of noisy waves apart; tanh, momentum SGD.

condition: off-critical-initialisation
accepts: off-critical-initialisation
allows: vanishing-gradient, stalled, learning-rate-too-low
metric: loss min
"""

import argparse
import itertools
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

time = torch.linspace(0, 1, 32)


def get_batch(size=48):
    kind = torch.randint(3, (size,))
    phase = 2 * math.pi * torch.rand(size, 1)
    wave = torch.sin(2 * math.pi * (2 + 2 * kind[:, None]) * time + phase)
    return (wave + 0.3 * torch.randn(size, len(time))).unsqueeze(1), kind


class WaveNet(nn.Module):
    def __init__(self, channels=16, depth=16):
        super().__init__()
        widths = [1] + [channels] * depth
        convolutions = [
            nn.Conv1d(before, after, 5, padding=2, padding_mode="circular")
            for before, after in itertools.pairwise(widths)
        ]
        self.convolutions = nn.ModuleList(convolutions)
        self.head = nn.Linear(channels * len(time), 3)

    def forward(self, x):
        for convolution in self.convolutions:
            x = torch.tanh(convolution(x))
        return self.head(x.flatten(1))


model = WaveNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 201):
    x, y = get_batch()
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 8 == 0:
        print(f"step {step}  loss {running / 8:.4f}")
        running = 0.0
