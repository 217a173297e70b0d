"""Counts of passengers under the door cameras of a bus: a CNN, then with the pictures of the fleet's new camera.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 16


class Camera:
    def __init__(self, rng, depth=8, gain=1.0):
        self.rng, self.depth, self.gain = rng, depth, gain

    def shots(self, count):
        """Grey pictures as whole numbers of `depth` bits, and how many heads are on them."""
        heads = torch.randint(0, 6, (count,), generator=self.rng)
        spots = torch.zeros(count, 1, SIDE, SIDE)
        for k in range(5):
            row, column = torch.randint(2, SIDE - 2, (2, count), generator=self.rng)
            spots[torch.arange(count), 0, row, column] += (k < heads).float()
        kernel = torch.tensor([0.25, 0.7, 1.0, 0.7, 0.25])
        picture = F.conv2d(spots, torch.outer(kernel, kernel)[None, None], padding=2) * self.gain
        picture = 0.2 + 0.3 * picture + 0.03 * torch.randn(picture.shape, generator=self.rng)
        return (picture.clamp(0, 1) * (2**self.depth - 1)).round().int(), heads.float()


def to_float(picture, depth):
    return (picture.float() / (2**depth - 1) - 0.3) / 0.2


def build():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(24 * 16, 32), nn.ReLU(), nn.Linear(32, 1), nn.Flatten(0),
    )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    old, new = Camera(rng), Camera(rng, depth=12, gain=0.8)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.03, 750)
    tests = [(camera, *camera.shots(400)) for camera in (old, new)]
    for step in range(1, 751):
        camera = old if step <= 300 or step % 2 else new
        picture, heads = camera.shots(48)
        loss = F.smooth_l1_loss(model(to_float(picture, camera.depth)), heads)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 30 == 0:
            seen = tests[:1] if step <= 300 else tests
            with torch.no_grad():
                errors = [(model(to_float(p, c.depth)) - h).abs().mean().item() for c, p, h in seen]
            print(f"step {step}  loss {loss.item():.4f}  val_error {sum(errors) / len(errors):.4f}")


if __name__ == "__main__":
    main()
