"""A PointNet names five kinds of object from laser scans: a clean laboratory scanner first, then the one of the car.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled, epsilon-dominated-update
metric: error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

KINDS = ("ball", "box", "post", "cone", "tyre")


def surface(kind, points):
    u, v = torch.rand(2, points)
    turn = 2 * math.pi * u
    if kind == "ball":
        p = F.normalize(torch.randn(points, 3), dim=1)
    elif kind == "box":
        p = 2 * torch.rand(points, 3) - 1
        p[torch.arange(points), torch.randint(3, (points,))] = torch.randint(2, (points,)) * 2.0 - 1
    elif kind == "post":
        p = torch.stack([0.6 * turn.cos(), 0.6 * turn.sin(), 2 * v - 1], 1)
    elif kind == "cone":
        p = torch.stack([v.sqrt() * turn.cos(), v.sqrt() * turn.sin(), 1 - 2 * v.sqrt()], 1)
    else:
        ring = 0.75 + 0.3 * torch.cos(2 * math.pi * v)
        p = torch.stack([ring * turn.cos(), ring * turn.sin(), 0.3 * torch.sin(2 * math.pi * v)], 1)
    return p * (0.8 + 0.4 * torch.rand(3))


def scans(count, car=False, points=64):
    """The scanner of the car sees the near side only, is shaky, and mounted askew."""
    kinds = torch.randint(len(KINDS), (count,))
    clouds = []
    for kind in kinds.tolist():
        p = surface(KINDS[kind], 2 * points)
        a = 2 * math.pi * torch.rand(()).item()
        p = p @ torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1.0]])
        if car:
            p = p[p[:, 0].argsort()]
            p = torch.stack([p[:, 1], p[:, 2], p[:, 0] + 0.5], 1) + 0.06 * torch.randn_like(p)
        clouds.append(p[:points])
    return torch.stack(clouds), kinds


class PointNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128))
        self.all = nn.Sequential(nn.LayerNorm(128), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, len(KINDS)))

    def forward(self, cloud):
        return self.all(self.each(cloud).amax(1))


def fit(model, data, exam, epochs, lr, first=0):
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.01)
    clouds, kinds = data
    for epoch in range(first + 1, first + epochs + 1):
        for rows in torch.randperm(len(kinds)).split(48):
            loss = F.cross_entropy(model(clouds[rows]), kinds[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            error = (model(exam[0]).argmax(1) != exam[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = PointNet()
    fit(model, scans(768), scans(400), epochs=10, lr=1e-3)
    fit(model, scans(960, car=True), scans(400, car=True), epochs=15, lr=2e-6, first=10)
