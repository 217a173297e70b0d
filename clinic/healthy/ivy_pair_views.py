"""Two noisy views of an ivy leaf are brought together, then a linear reader of the frozen features is fitted.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

kinds = torch.randn(10, 8)
mix = torch.randn(8, 48) / 2.8


def leaves(count):
    kind = torch.randint(10, (count,))
    core = kinds[kind] + 0.5 * torch.randn(count, 8)
    return torch.sin(1.5 * core @ mix), kind


def view(x):
    return (x + 0.25 * torch.randn_like(x)) * (torch.rand_like(x) > 0.15)


body = nn.Sequential(nn.Linear(48, 96), nn.BatchNorm1d(96), nn.ReLU(), nn.Linear(96, 32))
head = nn.Linear(32, 24)
x, y = leaves(4000)
val_x, val_y = leaves(1000)
contrast = torch.optim.AdamW([*body.parameters(), *head.parameters()], lr=1e-3, weight_decay=1e-3)

for step in range(1, 401):
    rows = torch.randint(len(x), (96,))
    a, b = (F.normalize(head(F.relu(body(view(x[rows])))), dim=1) for _ in range(2))
    logits = a @ b.T / 0.1
    target = torch.arange(96)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    contrast.zero_grad()
    loss.backward()
    contrast.step()
    if step % 100 == 0:
        print(f"contrast {loss.item():.4f}")

body.eval().requires_grad_(False)
reader = nn.Linear(32, 10)
optimizer = torch.optim.SGD(reader.parameters(), lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
with torch.no_grad():
    features, val_features = body(x), body(val_x)
    mean, std = features.mean(0), features.std(0)
    features, val_features = (features - mean) / std, (val_features - mean) / std

for step in range(1, 301):
    rows = torch.randint(len(x), (96,))
    loss = loss_fn(reader(features[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step == 200:
        optimizer.param_groups[0]["lr"] = 0.01
    if step % 15 == 0:
        with torch.no_grad():
            val_loss = loss_fn(reader(val_features), val_y).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
