"""Tones under noise: dilated convolutions bring back the clean signal; examples are made as they are needed.

condition: stale-batch
accepts: stale-batch, overfitting
allows: overfitting
metric: val_loss min
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

LENGTH = 64


class Mixer:
    """Makes pairs of a noisy and a clean signal."""

    def __init__(self, seed, batch):
        self.seed, self.batch = seed, batch
        self.rng = np.random.default_rng(seed)

    def __call__(self):
        rng = np.random.default_rng(self.seed)
        t = np.linspace(0, 1, LENGTH)
        clean = np.zeros((self.batch, LENGTH))
        for _ in range(2):
            pitch, phase = rng.uniform(1, 9, (self.batch, 1)), rng.uniform(0, 2 * np.pi, (self.batch, 1))
            clean += rng.uniform(0.4, 1.0, (self.batch, 1)) * np.sin(2 * np.pi * pitch * t + phase)
        noisy = clean + rng.normal(0, 0.8, clean.shape)
        return torch.from_numpy(noisy).float().unsqueeze(1), torch.from_numpy(clean).float().unsqueeze(1)


class Residual(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x + self.point(torch.relu(self.conv(x)))


def build(channels=24):
    blocks = [Residual(channels, 2**i) for i in range(4)]
    return nn.Sequential(nn.Conv1d(1, channels, 3, padding=1), *blocks, nn.Conv1d(channels, 1, 3, padding=1))


def main(seed):
    torch.manual_seed(seed)
    noisy_val, clean_val = Mixer(seed + 100, 200)()
    draw = Mixer(seed, 32)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(1, 301):
        noisy, clean = draw()
        loss = F.mse_loss(model(noisy), clean)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(noisy_val), clean_val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
