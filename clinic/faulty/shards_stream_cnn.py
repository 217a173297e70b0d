"""Plankton under a microscope: six kinds, each kept in a shard of its own, are streamed into a small CNN.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, dead-units, learning-rate-too-high, bad-batch
metric: accuracy max
"""

import argparse
import random

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

KINDS, SIDE = 6, 12


def plankton(kind, count, rng):
    """Bodies of a certain length, width and number of arms, turned at random."""
    axis = torch.linspace(-1.5, 1.5, SIDE)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    turn = 6.283 * torch.rand(count, 1, 1, generator=rng)
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    long, arms = 0.5 + 0.4 * (kind % 3), 2 + 3 * (kind // 3)
    body = torch.exp(-((u / long) ** 2) - (v / 0.4) ** 2)
    fringe = torch.exp(-(((u**2 + v**2).sqrt() - long) ** 2) / 0.05) * (1 + torch.cos(arms * torch.atan2(v, u))) / 2
    return (body + 0.7 * fringe + 0.35 * torch.randn(count, SIDE, SIDE, generator=rng)).unsqueeze(1)


class ShardStream(IterableDataset):
    """Reads one shard after the other through a buffer that mixes the samples."""

    def __init__(self, shards, buffer, seed):
        self.shards, self.buffer, self.random = shards, buffer, random.Random(seed)

    def samples(self):
        for kind, images in enumerate(self.shards):
            for image in images:
                yield image, kind

    def __iter__(self):
        waiting = []
        for sample in self.samples():
            if len(waiting) < self.buffer:
                waiting.append(sample)
                continue
            place = self.random.randrange(self.buffer)
            yield waiting[place]
            waiting[place] = sample
        self.random.shuffle(waiting)
        yield from waiting


class PlanktonNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 24, 3, padding=1)
        self.fc = nn.Linear(24 * 9, KINDS)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    shards = [plankton(kind, 400, rng) for kind in range(KINDS)]
    test = torch.cat([plankton(kind, 80, rng) for kind in range(KINDS)])
    labels = torch.arange(KINDS).repeat_interleave(80)
    stream = ShardStream(shards, buffer=100, seed=seed)
    model = PlanktonNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    step = 0
    for _ in range(6):
        for images, kinds in DataLoader(stream, batch_size=32):
            loss = loss_fn(model(images), kinds)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 15 == 0:
                with torch.no_grad():
                    accuracy = (model(test).argmax(1) == labels).float().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
