"""Direction of a radio beacon from the delays at eight aerials; the loss is the angle between guess and truth.

condition: healthy
metric: val_angle min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

AERIALS = F.normalize(torch.randn(8, 3, generator=torch.Generator().manual_seed(3)), dim=1)


def signals(count, generator):
    direction = F.normalize(torch.randn(count, 3, generator=generator), dim=1)
    delay = direction @ AERIALS.T + 0.01 * torch.randn(count, 8, generator=generator)
    return torch.cat([delay, delay.tanh() ** 2], 1), direction


class Finder(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(16, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 3)
        )

    def forward(self, x):
        return F.normalize(self.net(x), dim=1)


def angle(found, direction):
    cosine = (found * direction).sum(1)
    return torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))


def train(seed, steps=1200):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    val_x, val_direction = signals(500, generator)
    model = Finder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x, direction = signals(64, generator)
        loss = angle(model(x), direction).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_angle = torch.rad2deg(angle(model(val_x), val_direction)).mean()
            print(f"step {step}  loss {loss.item():.4f}  val_angle {val_angle.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
