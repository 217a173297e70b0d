"""Digits with few labels: after each round a fresh network asks for the labels that it is least sure of.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


def build():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(512, 10),
    )  # fmt: skip


def fit(x, y, steps=120):
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (32,))
        loss = F.cross_entropy(model(x[rows] + 0.2 * torch.randn(32, 1, 8, 8)), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.no_grad()
def ask(model, x, unknown, count):
    """Smallest margin between the two best guesses, among a random part of what is unknown."""
    pool = unknown[torch.randperm(len(unknown))[: 12 * count]]
    best = model(x[pool]).softmax(1).topk(2, dim=1).values
    return pool[(best[:, 0] - best[:, 1]).argsort()[:count]]


def main(seed):
    torch.manual_seed(seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32).view(-1, 1, 8, 8) / 6 - 0.8, torch.tensor(y)
    order = torch.randperm(len(x))
    val, pool = order[:500], order[500:]
    known, unknown = pool[:20], pool[20:]
    for turn in range(1, 17):
        model = fit(x[known], y[known])
        with torch.no_grad():
            wrong = (model(x[val]).argmax(1) != y[val]).float().mean().item()
        print(f"round {turn}  labels {len(known)}  val_error {wrong:.4f}")
        new = ask(model, x, unknown, 15)
        known = torch.cat([known, new])
        unknown = unknown[~torch.isin(unknown, new)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
