"""Coins told by the number of their rays: a pre-trained network gets a new head, which is trained first, alone.

condition: healthy
metric: val_accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def coins(count, rays, noise, g):
    """Grey 16 x 16 pictures of a coin with a number of rays, turned, off centre, worn."""
    axis = torch.linspace(-1, 1, 16)
    yy, xx = torch.meshgrid(axis, axis, indexing="ij")
    label = torch.randint(len(rays), (count,), generator=g)
    number = torch.tensor(rays)[label].view(-1, 1, 1).float()
    turn = 2 * math.pi * torch.rand(count, 1, 1, generator=g)
    dx, dy = 0.12 * torch.randn(2, count, 1, 1, generator=g)
    r, angle = ((xx - dx) ** 2 + (yy - dy) ** 2).sqrt(), torch.atan2(yy - dy, xx - dx)
    face = torch.sigmoid(12 * (0.85 - r)) * (0.5 + 0.5 * torch.cos(number * angle + turn) * r.clamp(max=1))
    return (face + noise * torch.randn(count, 16, 16, generator=g)).unsqueeze(1) - 0.3, label


class CoinNet(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * 16, 64),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, classes)

    def forward(self, x):
        return self.head(self.backbone(x))


def pretrain(model, x, y, steps=150):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)

model = CoinNet(3)
pretrain(model, *coins(1500, [2, 3, 4], 0.1, g))

x, y = coins(2400, [3, 4, 5, 6, 7], 0.15, g)
val_x, val_y = coins(600, [3, 4, 5, 6, 7], 0.15, g)
model.head = nn.Linear(64, 5)
model.backbone.requires_grad_(False)
optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=2e-3)

for epoch in range(1, 19):
    if epoch == 6:
        model.backbone.requires_grad_(True)
        optimizer.add_param_group({"params": model.backbone.parameters(), "lr": 5e-4})
    for rows in torch.randperm(len(x)).split(80):
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = model(val_x)
    accuracy = (logits.argmax(1) == val_y).float().mean().item()
    print(f"epoch {epoch}  val_loss {F.cross_entropy(logits, val_y).item():.4f}  val_accuracy {accuracy:.4f}")
