"""Differences modulo 23: the training set is known by heart early, and validation follows only much later.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

modulus = 23
pairs = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
differences = (pairs[:, 0] - pairs[:, 1]) % modulus
order = torch.randperm(len(pairs))
train, val = order[:380], order[380:]


class Subtractor(nn.Module):
    def __init__(self, dim=64, width=128):
        super().__init__()
        self.left = nn.Embedding(modulus, dim)
        self.right = nn.Embedding(modulus, dim)
        self.hidden = nn.Linear(dim, width)
        self.output = nn.Linear(width, modulus)

    def forward(self, pairs):
        return self.output(F.relu(self.hidden(self.left(pairs[:, 0]) + self.right(pairs[:, 1]))))


model = Subtractor()
optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3, weight_decay=1.0, betas=(0.9, 0.98))

for step in range(1, 1601):
    loss = F.cross_entropy(model(pairs[train]), differences[train])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            val_accuracy = (model(pairs[val]).argmax(1) == differences[val]).float().mean().item()
        print(f"step {step}  loss {loss.item():.3e}  val_accuracy {val_accuracy:.4f}")
