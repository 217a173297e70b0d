"""A network that reads digits is adapted to rotated ones: low-rank adapters in two layers, the rest is frozen.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Adapted(nn.Module):
    def __init__(self, linear, rank=6):
        super().__init__()
        self.linear = linear
        for p in linear.parameters():
            p.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(0.05 * torch.randn(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + x @ self.down.T @ self.up.T


def fit(model, optimizer, x, y, steps, watch=None):
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (32,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if watch is not None and step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(watch[0]), watch[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 8 - 1
labels = torch.tensor(digits.target)
turned = images.rot90(1, (1, 2)).flatten(1)
order = torch.randperm(len(labels))
train, val = order[:1200], order[1200:]

model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10))
fit(model, torch.optim.Adam(model.parameters(), lr=1e-3), images.flatten(1)[train], labels[train], 300)

for index in (0, 2):
    model[index] = Adapted(model[index])
trainable = [p for p in model.parameters() if p.requires_grad]
optimizer = torch.optim.AdamW(trainable, lr=1e-3, weight_decay=0.01)
fit(model, optimizer, turned[train], labels[train], 500, (turned[val], labels[val]))
