"""Alloys as graphs of atoms: message passing tells the hardness and the melting point of each cell.

condition: healthy
metric: val_melting min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ATOMS, ELEMENTS = 12, 5


def cells(count, g):
    """Random cells of a dozen atoms; bonds are symmetric; both properties come from bonds and elements."""
    element = torch.randint(ELEMENTS, (count, ATOMS), generator=g)
    near = torch.rand(count, ATOMS, ATOMS, generator=g) < 0.22
    bonds = (near | near.transpose(1, 2)).float() * (1 - torch.eye(ATOMS))
    strength = torch.tensor([0.3, -0.5, 0.9, 0.1, -0.8])[element]
    mass = torch.tensor([1.2, 0.4, -0.3, -1.1, 0.7])[element]
    degree = bonds.sum(2).clamp(min=1)
    around = (bonds @ strength.unsqueeze(2)).squeeze(2) / degree
    hardness = (strength * around).mean(1) * 4 + strength.mean(1)
    melting = mass.mean(1) * 2 + torch.tanh(around * mass * 3).mean(1) * 3
    return element, bonds, hardness, melting + 0.05 * torch.randn(count, generator=g)


class Passing(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.own, self.others = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h, bonds):
        mean = bonds @ h / bonds.sum(2, keepdim=True).clamp(min=1)
        return h + F.silu(self.own(h) + self.others(mean))


class AlloyNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Embedding(ELEMENTS, width)
        self.rounds = nn.ModuleList([Passing(width) for _ in range(3)])
        self.hardness, self.melting = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, element, bonds):
        h = self.embed(element)
        for layer in self.rounds:
            h = layer(h, bonds)
        pooled = h.mean(1)
        return self.hardness(pooled).squeeze(1), self.melting(pooled).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)
train, val = cells(3000, g), cells(600, g)

model = AlloyNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
for epoch in range(1, 21):
    for rows in torch.randperm(3000).split(100):
        element, bonds, hardness, melting = (part[rows] for part in train)
        hard, melt = model(element, bonds)
        loss = F.mse_loss(hard, hardness) + F.mse_loss(melt, melting)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    with torch.no_grad():
        hard, melt = model(*val[:2])
    val_hardness = (hard - val[2]).abs().mean().item()
    val_melting = (melt.flatten() - val[3]).abs().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_hardness {val_hardness:.4f}  val_melting {val_melting:.4f}")
