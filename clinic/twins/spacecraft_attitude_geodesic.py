"""A network works out the attitude of a spacecraft from the directions of four known stars.

The attitude is a rotation matrix from two predicted vectors; the loss is the angle to the true attitude.

condition: healthy
metric: degrees min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F


def random_attitudes(count, generator):
    q = F.normalize(torch.randn(count, 4, generator=generator), dim=1)
    w, x, y, z = q.unbind(1)
    rows = [
        1 - 2 * (y * y + z * z),
        2 * (x * y - w * z),
        2 * (x * z + w * y),
        2 * (x * y + w * z),
        1 - 2 * (x * x + z * z),
        2 * (y * z - w * x),
        2 * (x * z - w * y),
        2 * (y * z + w * x),
        1 - 2 * (x * x + y * y),
    ]
    return torch.stack(rows, 1).view(-1, 3, 3)


def rotation_from_six(raw):
    first = F.normalize(raw[:, :3], dim=1)
    second = raw[:, 3:] - (first * raw[:, 3:]).sum(1, keepdim=True) * first
    second = F.normalize(second, dim=1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], 2)


def angle_between(a, b):
    chord = ((a - b) ** 2).sum((1, 2))
    return 2 * torch.asin((chord / 8 + 1e-9).sqrt().clamp(max=1 - 1e-6))


class AttitudeNet(nn.Module):
    def __init__(self, stars, width=128):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3 * stars, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.direct = nn.Linear(3 * stars, 6)
        self.head = nn.Linear(width, 6)

    def forward(self, seen):
        flat = seen.flatten(1)
        return rotation_from_six(self.direct(flat) + self.head(self.body(flat)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1600)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    stars = F.normalize(torch.randn(4, 3, generator=generator), dim=1)

    def observe(count):
        attitude = random_attitudes(count, generator)
        return stars @ attitude.transpose(1, 2), attitude

    model = AttitudeNet(len(stars))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, arguments.steps, eta_min=1e-6)
    valid_seen, valid_attitude = observe(500)
    for step in range(1, arguments.steps + 1):
        seen, attitude = observe(128)
        loss = angle_between(model(seen), attitude).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                degrees = math.degrees(angle_between(model(valid_seen), valid_attitude).mean().item())
            print(f"step {step:4d}  loss {loss.item():.4f}  degrees {degrees:.3f}")


if __name__ == "__main__":
    main()
