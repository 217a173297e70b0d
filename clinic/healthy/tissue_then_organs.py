"""Organs from small scans: contrastive training on pairs of views, then a head alone, then everything at a tiny rate.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SIDE, ORGANS = 16, 6


def scans(n, gen):
    """Two closed outlines with a texture; each organ has its own number of lobes and grain."""
    organ = torch.randint(ORGANS, (n,), generator=gen)
    r = torch.linspace(-1, 1, SIDE)
    y, x = r.view(1, -1, 1), r.view(1, 1, -1)
    turn = 2 * math.pi * torch.rand(n, 1, 1, generator=gen)
    lobes = torch.tensor([2, 3, 4, 2, 3, 4])[organ].view(n, 1, 1)
    grain = torch.tensor([5.0, 5, 5, 10, 10, 10])[organ].view(n, 1, 1)
    angle, radius = torch.atan2(y, x) + turn, (x**2 + y**2).sqrt()
    body = torch.sigmoid(12 * (0.65 + 0.2 * torch.cos(lobes * angle) - radius))
    return 2 * body * (1 + 0.5 * torch.sin(grain * (x + y) + turn)), organ


def view(image, gen):
    """A random shift, gain, flip and noise."""
    dy, dx = torch.randint(-2, 3, (2,), generator=gen).tolist()
    image = torch.roll(image, (dy, dx), (1, 2))
    if torch.rand((), generator=gen) < 0.5:
        image = image.flip(2)
    gain = 0.8 + 0.4 * torch.rand(len(image), 1, 1, generator=gen)
    return (gain * image - 0.9 + 0.3 * torch.randn(image.shape, generator=gen)).unsqueeze(1)


class Trunk(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 48, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(192, 64),
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    ref, ref_y = scans(300, gen)
    val, val_y = scans(600, gen)
    ref, val = view(ref, gen), view(val, gen)
    trunk, projection, head = Trunk(), nn.Linear(64, 32), nn.Linear(64, ORGANS)

    def report(step, loss, supervised):
        with torch.no_grad():
            if supervised:
                guess = head(trunk(val)).argmax(1)
            else:
                known, asked = F.normalize(trunk(ref), dim=1), F.normalize(trunk(val), dim=1)
                guess = ref_y[(asked @ known.T).argmax(1)]
            accuracy = (guess == val_y).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")

    optimizer = torch.optim.Adam([*trunk.parameters(), *projection.parameters()], lr=1e-3)
    for step in range(1, 201):
        image, _ = scans(64, gen)
        a, b = (F.normalize(projection(trunk(view(image, gen))), dim=1) for _ in range(2))
        loss = F.cross_entropy(a @ b.T / 0.07, torch.arange(64))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            report(step, loss, False)
    for start, steps, params, lr in (
        (200, 160, head.parameters(), 5e-3),
        (360, 140, [*trunk.parameters(), *head.parameters()], 5e-5),
    ):
        optimizer = torch.optim.Adam(params, lr=lr)
        for step in range(start + 1, start + steps + 1):
            image, organ = scans(64, gen)
            loss = F.cross_entropy(head(trunk(view(image, gen))), organ)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 20 == 0:
                report(step, loss, True)


main()
