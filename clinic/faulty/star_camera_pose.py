"""Where a star camera points, from the places of eight bright stars on its plate.

condition: non-finite
accepts: non-finite
allows: exploding-gradient, divergence, loss-spike, unsafe-step
metric: error min
"""

import argparse
import math

import torch
from torch import nn

STARS = 8


def random_attitudes(count):
    q = torch.randn(count, 4)
    w, x, y, z = (q / q.norm(dim=1, keepdim=True)).T
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], 1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], 1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1),
    ]
    return torch.stack(rows, 1)


def plates(catalogue, count):
    """Stereographic plate coordinates of the stars, and the axis of the camera in the sky."""
    attitude = random_attitudes(count)
    seen = torch.einsum("sk,bkj->bsj", catalogue, attitude)
    plate = seen[..., :2] / (1.2 + seen[..., 2:])
    plate = plate + 0.005 * torch.randn_like(plate)
    return plate.flatten(1), attitude[:, :, 2]


class Pointing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * STARS, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 3)
        )

    def forward(self, plate):
        return nn.functional.normalize(self.layers(plate), dim=1)


def angle(a, b):
    cosine = (a * b).sum(1)
    return torch.acos(cosine)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    catalogue = nn.functional.normalize(torch.randn(STARS, 3), dim=1)
    held_plate, held_axis = plates(catalogue, 2000)
    model = Pointing()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1800)

    for step in range(1, 1801):
        plate, axis = plates(catalogue, 64)
        loss = angle(model(plate), axis).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 90 == 0:
            with torch.no_grad():
                chord = (model(held_plate) - held_axis).norm(dim=1)
                degrees = math.degrees((2 * torch.asin((chord / 2).clamp(max=1))).mean().item())
            print(f"step {step}  loss {loss.item():.4f}  error {degrees:.3f}")


if __name__ == "__main__":
    main()
