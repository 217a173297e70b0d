"""How ill is a leaf? A conv net and a hundred and sixty pictures with an expert's guess; AdamW, sixty epochs.

condition: overfitting
accepts: overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 14


class LeafNet(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.convs = nn.Sequential(
            nn.Conv2d(1, 24, 3),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(24, 48, 3),
            nn.BatchNorm2d(48),
            nn.ReLU(),
        )
        self.dropout = dropout
        self.wide, self.out = nn.Linear(48 * 16, 128), nn.Linear(128, 1)

    def forward(self, leaf):
        h = self.convs(leaf).flatten(1)
        h = F.dropout(F.relu(self.wide(h)), self.dropout, self.training)
        return self.out(h).squeeze(1)


def leaves(count):
    illness = torch.rand(count, 1, 1)
    y, x = torch.meshgrid(torch.linspace(0, 1, SIDE), torch.linspace(0, 1, SIDE), indexing="ij")
    leaf = torch.zeros(count, SIDE, SIDE)
    for _ in range(8):
        where = torch.rand(count, 2, 1, 1)
        there = (torch.rand(count, 1, 1) < illness).float()
        leaf = leaf + there * torch.exp(-((x - where[:, 0]) ** 2 + (y - where[:, 1]) ** 2) / 0.006)
    leaf = leaf + 0.4 * torch.randn(count, SIDE, SIDE)
    guess = 3.4 * (illness.flatten() - 0.5) + 0.6 * torch.randn(count)
    return leaf.unsqueeze(1), guess


def turned(leaf):
    leaf = torch.roll(leaf, torch.randint(SIDE, (2,)).tolist(), (2, 3))
    return torch.rot90(leaf, int(torch.randint(4, ())), (2, 3))


def run_epoch(model, optimizer, leaf, guess, augment):
    model.train()
    total = 0.0
    for rows in torch.randperm(len(leaf)).split(32):
        batch = augment(leaf[rows])
        loss = F.mse_loss(model(batch), guess[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows) / len(leaf)
    return total


def main(seed, dropout=0.0, augment=lambda leaf: leaf):
    torch.manual_seed(seed)
    leaf, guess = leaves(160)
    val_leaf, val_guess = leaves(300)
    model = LeafNet(dropout)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for epoch in range(1, 46):
        loss = run_epoch(model, optimizer, leaf, guess, augment)
        model.eval()
        with torch.no_grad():
            val_loss = F.mse_loss(model(val_leaf), val_guess).item()
        print(f"epoch {epoch}  loss {loss:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
