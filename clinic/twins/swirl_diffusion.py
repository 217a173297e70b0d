"""A diffusion model of points on a spiral: the network predicts the noise that was added.

condition: healthy
metric: loss min
"""

import argparse
import math

import torch
from torch import nn

LEVELS = 50
BETA = torch.linspace(1e-3, 0.15, LEVELS)
KEPT = (1 - BETA).cumprod(0)


def spiral(size):
    turn = 3 * math.pi * torch.rand(size).sqrt()
    return torch.stack([turn.cos(), turn.sin()], 1) * turn[:, None] / 5 + 0.02 * torch.randn(size, 2)


class NoisePredictor(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.level = nn.Embedding(LEVELS, width)
        self.stem = nn.Linear(2, width)
        self.net = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2))

    def forward(self, noisy, level):
        return self.net(self.stem(noisy) + self.level(level))


def denoising_loss(model, size):
    clean, level, noise = spiral(size), torch.randint(LEVELS, (size,)), torch.randn(size, 2)
    kept = KEPT[level, None]
    return nn.functional.mse_loss(model(kept.sqrt() * clean + (1 - kept).sqrt() * noise, level), noise)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = NoisePredictor()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

    for step in range(1, 501):
        loss = denoising_loss(model, 256)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step}  loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
