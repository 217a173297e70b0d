"""Metric learning with triplets: an embedding of digits in which like is near like; most triplets soon cost nothing.

condition: healthy
metric: recall max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 16
x = x @ torch.randn(64, 64) / 8 + 0.4 * torch.randn(len(x), 64)
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, val = order[:1300], order[1300:]
members = [train[y[train] == digit] for digit in range(10)]


def pick(classes):
    return torch.stack([members[c][torch.randint(len(members[c]), (1,))[0]] for c in classes.tolist()])


model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 24))
optimizer = torch.optim.Adamax(model.parameters(), lr=3e-3)
loss_fn = nn.TripletMarginLoss(margin=0.5)

for step in range(1, 361):
    classes = torch.randint(10, (48,))
    others = (classes + torch.randint(1, 10, (48,))) % 10
    anchor, positive, negative = (model(x[pick(c)]) for c in (classes, classes, others))
    loss = loss_fn(anchor, positive, negative)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            nearest = torch.cdist(model(x[val]), model(x[train])).argmin(1)
        recall = (y[train][nearest] == y[val]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  recall {recall:.4f}")
