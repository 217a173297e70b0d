"""How is a body turned? A point network reads the corners of a known body and gives its attitude as a matrix.

condition: non-finite
accepts: non-finite
metric: val_degrees min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--steps", type=int, default=900)
args = parser.parse_args()
torch.manual_seed(args.seed)

BODY = torch.tensor([[1.0, 0, 0], [0, 0.7, 0], [0, 0, 1.3], [-0.6, -0.6, 0], [0.5, 0.2, -0.8], [-0.3, 0.9, 0.6]])


def random_attitude(count):
    """Turned by up to sixty degrees about a random axis (Rodrigues)."""
    axis = nn.functional.normalize(torch.randn(count, 3), dim=1)
    angle = (math.pi / 3 * torch.rand(count)).view(-1, 1, 1)
    cross = torch.zeros(count, 3, 3)
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross = cross - cross.transpose(1, 2)
    return torch.eye(3) + angle.sin() * cross + (1 - angle.cos()) * (cross @ cross)


def see(count):
    turn = random_attitude(count)
    return BODY @ turn.transpose(1, 2) + 0.002 * torch.randn(count, len(BODY), 3), turn


class Attitude(nn.Module):
    """Two columns made orthogonal by Gram-Schmidt; the network corrects the upright attitude."""

    def __init__(self, width=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3 * len(BODY), width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6)
        )

    def forward(self, points):
        raw = self.net(points.flatten(1))
        a, b = raw[:, :3] + torch.tensor([1.0, 0, 0]), raw[:, 3:] + torch.tensor([0, 1.0, 0])
        x = nn.functional.normalize(a, dim=1)
        y = nn.functional.normalize(b - (x * b).sum(1, keepdim=True) * x, dim=1)
        return torch.stack([x, y, torch.linalg.cross(x, y)], dim=2)


def geodesic(first, second):
    trace = (first * second).sum((1, 2))
    return torch.acos((trace - 1) / 2)


model = Attitude()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=3e-3, total_steps=args.steps)
val_points, val_turn = see(500)
for step in range(1, args.steps + 1):
    points, turn = see(256)
    loss = geodesic(model(points), turn).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 30 == 0:
        with torch.no_grad():
            between = (model(val_points) - val_turn).norm(dim=(1, 2)) / math.sqrt(8)
            degrees = 2 * torch.rad2deg(torch.asin(between.clamp(max=1))).mean().item()
        print(f"step {step}  loss {loss.item():.5f}  val_degrees {degrees:.3f}")
