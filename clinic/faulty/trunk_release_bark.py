"""Kinds of trees from photographs of bark: the trunk of the network comes from a first survey, the head is new.

condition: frozen-parameters
accepts: frozen-parameters, scheduler-misuse
allows: learning-rate-too-low, stalled
metric: val_accuracy max
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 16


def bark(kind, generator, second):
    """Ridges of each kind run at their own angle and spacing; the second camera is turned and nearer."""
    n = len(kind)
    yy, xx = torch.meshgrid(torch.arange(SIZE).float(), torch.arange(SIZE).float(), indexing="ij")
    angle = 0.35 * (kind % 4).float() + (0.9 if second else 0.0) + 0.1 * torch.randn(n, generator=generator)
    pitch = (
        (0.55 if second else 0.9)
        + (0.3 if second else 0.4) * (kind // 4).float()
        + 0.04 * torch.randn(n, generator=generator)
    )
    along = xx * torch.cos(angle)[:, None, None] + yy * torch.sin(angle)[:, None, None]
    wave = torch.sin(pitch[:, None, None] * along + 6.283 * torch.rand(n, 1, 1, generator=generator))
    if second:
        wave = wave * (1 + 0.5 * torch.randn(n, 1, 1, generator=generator)).abs()
    return (wave + 0.8 * torch.randn(n, SIZE, SIZE, generator=generator))[:, None]


class Trunk(nn.Sequential):
    def __init__(self, width=12):
        super().__init__(
            nn.Conv2d(1, width, 5, padding=2),
            nn.GroupNorm(3, width),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.GroupNorm(3, 2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(3, 2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )


class BarkNet(nn.Module):
    def __init__(self, trunk, kinds):
        super().__init__()
        self.trunk, self.head = trunk, nn.Linear(96, kinds)

    def forward(self, x):
        return self.head(self.trunk(x))


def first_survey(generator):
    model = BarkNet(Trunk(), 8)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(80):
        kind = torch.randint(8, (48,), generator=generator)
        loss = F.cross_entropy(model(bark(kind, generator, False)), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return copy.deepcopy(model.trunk)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = BarkNet(first_survey(generator), 8)
    kind_val = torch.randint(8, (800,), generator=generator)
    x_val = bark(kind_val, generator, True)
    per_epoch, epochs, held = 15, 24, 6
    optimizer = torch.optim.AdamW(
        [
            {"params": model.head.parameters(), "lr": 3e-3},
            {"params": model.trunk.parameters(), "lr": 0.0},
        ],
        weight_decay=1e-3,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        [lambda epoch: 1 - 0.9 * epoch / epochs, lambda epoch: 0.0 if epoch < held else 1 - 0.9 * epoch / epochs],
    )
    for epoch in range(1, epochs + 1):
        for _ in range(per_epoch):
            kind = torch.randint(8, (48,), generator=generator)
            loss = F.cross_entropy(model(bark(kind, generator, True)), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            accuracy = (model(x_val).argmax(1) == kind_val).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
