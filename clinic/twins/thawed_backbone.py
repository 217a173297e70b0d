"""A small residual network knows the shapes of waves; its new head is trained on fault codes, then all of it.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LENGTH = 48


def recordings(n, kinds, generator, noise=0.4):
    """Noisy waves of one of several kinds: each has two frequencies of its own and a kink somewhere."""
    kind = torch.randint(kinds, (n,), generator=generator)
    t = torch.arange(LENGTH) / LENGTH
    phase = 2 * math.pi * torch.rand(n, 2, generator=generator)
    low, high = 2 + kind % 3, 5 + 2 * (kind // 3)
    wave = torch.sin(2 * math.pi * low[:, None] * t + phase[:, :1])
    wave = wave + 0.7 * torch.sin(2 * math.pi * high[:, None] * t + phase[:, 1:])
    return wave.unsqueeze(1) + noise * torch.randn(n, 1, LENGTH, generator=generator), kind


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 5, padding=2)
        self.second = nn.Conv1d(channels, channels, 5, padding=2)

    def forward(self, x):
        return x + self.second(F.relu(self.first(F.relu(x))))


class Trunk(nn.Module):
    def __init__(self, channels=24, blocks=3):
        super().__init__()
        self.stem = nn.Conv1d(1, channels, 7, stride=2, padding=3)
        self.blocks = nn.Sequential(*[Block(channels) for _ in range(blocks)])

    def forward(self, x):
        return F.relu(self.blocks(self.stem(x)) / 2).mean(-1)


class Model(nn.Module):
    def __init__(self, trunk, classes):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(24, classes)

    def forward(self, x):
        return self.head(self.trunk(x))


def batches(x, y, steps, generator, size=48):
    for _ in range(steps):
        rows = torch.randint(len(x), (size,), generator=generator)
        yield x[rows], y[rows]


def pretrain(generator, steps=200):
    model = Model(Trunk(), 9)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for x, y in batches(*recordings(2000, 9, generator), steps, generator):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.trunk


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Model(pretrain(generator), 12)
    model.trunk.requires_grad_(False)
    train_x, train_y = recordings(900, 12, generator, noise=0.6)
    val_x, val_y = recordings(500, 12, generator, noise=0.6)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-2)
    loss_fn = nn.CrossEntropyLoss()
    for step, (x, y) in enumerate(batches(train_x, train_y, 400, generator), start=1):
        if step == 302:
            model.trunk.requires_grad_(True)
            optimizer.add_param_group({"params": model.trunk.parameters(), "lr": 5e-4})
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
