"""Clicks on advertisements by a factorisation machine with a deep part: categories, and three columns of numbers.

condition: healthy
metric: val_loss min
"""

import argparse

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn


def log_of_views(n, seed):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"slot": rng.integers(0, 8, n), "brand": rng.integers(0, 30, n), "device": rng.integers(0, 4, n)}
    )
    frame["price"] = np.exp(rng.normal(5, 1, n))
    frame["seconds"] = np.exp(rng.normal(3, 1, n))
    frame["visits"] = rng.geometric(0.05, n).astype(float)
    taste = np.sin(frame.brand * 1.3) * np.cos(frame.slot * 0.9 + frame.device)
    liking = 1.6 * taste - 0.8 * (np.log(frame.price) - 5) * np.sin(frame.brand) + 0.7 * (np.log(frame.seconds) - 3)
    liking = liking + 0.5 * (np.log(frame.visits) - 2.5) - 0.5
    frame["click"] = (rng.random(n) < 1 / (1 + np.exp(-1.5 * liking))).astype(np.float32)
    return frame


def prepare(frame):
    categories = torch.tensor(frame[["slot", "brand", "device"]].to_numpy()) + torch.tensor([0, 8, 38])
    numbers = torch.tensor(np.log(frame[["price", "seconds", "visits"]]).to_numpy() - [5, 3, 2.5], dtype=torch.float32)
    return categories, numbers, torch.tensor(frame.click.to_numpy())


class DeepFM(nn.Module):
    def __init__(self, size=10):
        super().__init__()
        self.linear, self.vectors = nn.Embedding(42, 1), nn.Embedding(42, size)
        self.number_linear, self.number_vectors = nn.Linear(3, 1), nn.Parameter(0.1 * torch.randn(3, size))
        self.deep = nn.Sequential(nn.Linear(6 * size, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))
        nn.init.normal_(self.vectors.weight, std=0.1)

    def forward(self, categories, numbers):
        fields = torch.cat([self.vectors(categories), numbers.unsqueeze(2) * self.number_vectors], 1)
        pairs = 0.5 * (fields.sum(1).square() - fields.square().sum(1)).sum(1)
        linear = self.linear(categories).sum((1, 2)) + self.number_linear(numbers).squeeze(1)
        return linear + pairs + self.deep(fields.flatten(1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    categories, numbers, click = prepare(log_of_views(40000, seed))
    val = prepare(log_of_views(4000, 1000 + seed))
    model = DeepFM()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 750)
    for step in range(1, 751):
        rows = torch.randint(0, len(click), (128,))
        loss = F.binary_cross_entropy_with_logits(model(categories[rows], numbers[rows]), click[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.binary_cross_entropy_with_logits(model(val[0], val[1]), val[2]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
