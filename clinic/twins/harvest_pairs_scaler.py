"""Ears of grain: a network maps images' descriptors so that ears of one variety lie close; gradients are scaled.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Embedder(nn.Module):
    def __init__(self, inputs=40, width=80, out=16):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, out)
        )

    def forward(self, x):
        return self.net(x)


def distances(z):
    square = (z[:, None] - z[None]).square().sum(-1)
    return (square + 1e-6).sqrt()


def pair_loss(z, variety, margin=1.5):
    apart = distances(z)
    same = (variety[:, None] == variety[None]).float()
    off = 1 - torch.eye(len(z))
    pull = same * off * apart.square()
    push = (1 - same) * (margin - apart).clamp(min=0).square()
    return pull.sum() / (same * off).sum().clamp(min=1) + push.sum() / (1 - same).sum()


def first_stage(z, centres, family):
    return (z - centres[family]).square().sum(-1).mean()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

varieties = 12
kinds = torch.randn(varieties, 6)
mix = torch.randn(6, 40) / 2.4


def ears(count):
    variety = torch.randint(varieties, (count,))
    return torch.sin((kinds[variety] + 0.5 * torch.randn(count, 6)) @ mix * 1.5) + 0.2 * torch.randn(count, 40), variety


train_x, train_y = ears(3000)
val_x, val_y = ears(800)
centres = torch.randn(varieties // 4, 16) * 0.35
model = Embedder()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=200)

for step in range(1, 601):
    rows = torch.randint(len(train_x), (64,))
    z = model(train_x[rows])
    loss = pair_loss(z, train_y[rows]) if step > 120 else first_stage(z, centres, train_y[rows] // 4)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 20 == 0:
        with torch.no_grad():
            nearest = torch.cdist(model(val_x), model(train_x)).argmin(1)
        val_error = (train_y[nearest] != val_y).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
