"""Yield of a forest plot from soil and slope: an ensemble of soft decision trees that become crisp.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


class SoftForest(nn.Module):
    def __init__(self, columns, trees=12, depth=5):
        super().__init__()
        self.depth, self.inner, leaves = depth, 2**depth - 1, 2**depth
        self.split = nn.Linear(columns, trees * self.inner)
        self.leaf = nn.Parameter(0.1 * torch.randn(trees, leaves))
        self.trees = trees

    def forward(self, x, temperature=1.0):
        right = torch.sigmoid(3 * self.split(x) / temperature).view(len(x), self.trees, self.inner)
        share = torch.ones(len(x), self.trees, 1)
        for level in range(self.depth):
            gate = right[:, :, 2**level - 1 : 2 ** (level + 1) - 1]
            share = torch.stack([share * (1 - gate), share * gate], 3).flatten(2)
        return (share * self.leaf).sum((1, 2))


def plots(count, area):
    slope, clay, rain, height, age, stones = torch.randn(6, count)
    dry = (rain - 0.5 * clay < 0).float()
    growth = torch.sin(2 * slope + area) * (1 - dry) + dry * (0.8 * clay - 0.6 * height)
    growth = growth + torch.where(age + 0.5 * slope > area, 1.2 * torch.cos(1.5 * height), 0.5 * rain)
    return torch.stack([slope, clay, rain, height, age, stones], 1), growth + 0.2 * torch.randn(count)


def crispness(step):
    return 1.0 if step <= 250 else max(0.97 ** (step - 250), 0.6)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = SoftForest(6)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(1, 1001):
        area = 0.0 if step <= 400 else 1.0
        if step in (1, 401):
            held, held_growth = plots(2000, area)
        x, growth = plots(128, area)
        temperature = crispness(step)
        loss = (model(x, temperature) - growth).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_rmse = (model(held, temperature) - held_growth).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


main()
