"""Digits are read by their distance to learned prototypes; the temperature of the decision cools while it learns.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Prototypes(nn.Module):
    def __init__(self, per_class=2, dim=8):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, dim))
        self.centres = nn.Parameter(torch.randn(10, per_class, dim))

    def forward(self, x, temperature):
        z = self.embed(x)
        squares = (z[:, None, None] - self.centres).pow(2).mean(-1)
        return -squares.min(-1).values / temperature


def cool(step):
    return max(0.99**step, 0.3)


def split(seed):
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
    x = x + 0.5 * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    return x[order[:1300]], y[order[:1300]], x[order[1300:]], y[order[1300:]]


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
x, y, val_x, val_y = split(seed)
model = Prototypes()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
for step in range(1, 701):
    rows = torch.randint(len(x), (64,))
    loss = F.cross_entropy(model(x[rows], cool(step)), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            out = model(val_x, cool(step))
            val_loss, accuracy = F.cross_entropy(out, val_y), (out.argmax(1) == val_y).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}  accuracy {accuracy.item():.3f}")
