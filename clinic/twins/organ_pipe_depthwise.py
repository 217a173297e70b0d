"""A depthwise separable network hears which rank of organ pipes a short sound comes from.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

RANKS = torch.tensor(
    [
        [1.0, 0.05, 0.02, 0.01, 0.0, 0.0, 0.0, 0.0],  # flute
        [1.0, 0.0, 0.4, 0.0, 0.2, 0.0, 0.1, 0.0],  # stopped pipe
        [1.0, 0.6, 0.35, 0.2, 0.12, 0.07, 0.04, 0.02],  # principal
        [0.5, 0.7, 1.0, 0.9, 0.8, 0.6, 0.5, 0.4],  # reed
        [0.4, 1.0, 0.3, 0.8, 0.2, 0.5, 0.1, 0.3],  # string
    ]
)


def sounds(n, length=80):
    rank = torch.randint(len(RANKS), (n,))
    pitch = 2 ** (torch.rand(n, 1, 1) * 1.2) * 0.02
    time = torch.arange(length).view(1, 1, -1)
    harmonic = torch.arange(1, 9).view(1, -1, 1)
    phase = 2 * math.pi * torch.rand(n, 8, 1)
    wave = (RANKS[rank].unsqueeze(-1) * torch.sin(2 * math.pi * pitch * harmonic * time + phase)).sum(1)
    wave = wave / wave.std(1, keepdim=True) + 0.2 * torch.randn(n, length)
    return wave.unsqueeze(1), rank


class Separable(nn.Module):
    """A filter of 5 samples in each channel, then a mixture of the channels."""

    def __init__(self, channels, stride=1):
        super().__init__()
        self.depth = nn.Conv1d(channels, channels, 5, stride, padding=2, groups=channels)
        self.point = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return torch.relu(self.point(self.depth(x)))


class PipeNet(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.stem = nn.Conv1d(1, channels, 9, padding=4)
        self.blocks = nn.Sequential(*[Separable(channels, 2 if i in (2, 4) else 1) for i in range(6)])
        self.head = nn.Linear(channels, len(RANKS))
        for layer in self.modules():
            if isinstance(layer, nn.Conv1d):
                fan_in = layer.in_channels // layer.groups * layer.kernel_size[0]
                gain = 1.0 if layer.groups > 1 else 2.0
                nn.init.normal_(layer.weight, std=math.sqrt(gain / fan_in))
                nn.init.zeros_(layer.bias)

    def forward(self, x):
        return self.head(self.blocks(torch.relu(self.stem(x))).mean(-1))


model = PipeNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
loss_fn = nn.CrossEntropyLoss()
heard, true_rank = sounds(150)

for step in range(420):
    wave, rank = sounds(24)
    loss = loss_fn(model(wave), rank)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        with torch.no_grad():
            accuracy = (model(heard).argmax(1) == true_rank).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
