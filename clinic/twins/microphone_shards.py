"""Denoising of microphone recordings by a small convolutional net; the recordings come in shards.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

LENGTH = 96


def recordings(count, rng):
    t = torch.linspace(0, 1, LENGTH)
    clean = 0
    for _ in range(3):
        pitch = 2 + 10 * torch.rand(count, 1, generator=rng)
        phase = 2 * math.pi * torch.rand(count, 1, generator=rng)
        clean = clean + torch.rand(count, 1, generator=rng) * torch.sin(2 * math.pi * pitch * t + phase)
    noisy = clean + 0.6 * torch.randn(count, LENGTH, generator=rng)
    return noisy.unsqueeze(1), clean.unsqueeze(1)


class Denoiser(nn.Module):
    def __init__(self, channels=20):
        super().__init__()
        self.enter = nn.Conv1d(1, channels, 9, padding=4)
        self.blocks = nn.ModuleList(nn.Conv1d(channels, channels, 7, padding=3 * d, dilation=d) for d in (1, 2, 4))
        self.leave = nn.Conv1d(channels, 1, 9, padding=4)

    def forward(self, x):
        h = torch.relu(self.enter(x))
        for block in self.blocks:
            h = torch.relu(block(h)) + h
        return self.leave(h)


class Archive:
    """Eight hundred shards of sixteen recordings, stored as 16-bit whole numbers or as floating point."""

    def __init__(self, rng):
        self.rng = rng

    def shard(self, number):
        noisy, clean = recordings(16, self.rng)
        if number % 800 == 520:
            noisy, clean = (noisy / 4 * 32767).to(torch.int16), (clean / 4 * 32767).to(torch.int16)
        return noisy, clean


def load(shard):
    return [part.float() if part.is_floating_point() else part.float() * 4 / 32767 for part in shard]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    archive = Archive(rng)
    val_noisy, val_clean = recordings(200, rng)
    model, loss_fn = Denoiser(), nn.L1Loss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 0.5 * (1 + math.cos(math.pi * s / 800)) + 0.01)
    for number in range(1, 801):
        noisy, clean = load(archive.shard(number))
        loss = loss_fn(model(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if number % 25 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_noisy), val_clean).item()
            print(f"step {number}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
