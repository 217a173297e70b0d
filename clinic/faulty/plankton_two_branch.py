"""Plankton of six kinds, told by an outline signal and by a table of sizes; the two branches meet in one head.

condition: detached-parameters
accepts: detached-parameters
allows: overfitting, stalled, frozen-parameters
metric: val_accuracy max
"""

import argparse

import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, TensorDataset


def cells(n, rng):
    kind = rng.integers(0, 6, n)
    t = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    lobes = np.array([2, 3, 3, 4, 4, 5])[kind][:, None]
    depth = 0.35 + 0.1 * rng.random((n, 1))
    outline = depth * np.cos(lobes * (t + 2 * np.pi * rng.random((n, 1)))) + 0.35 * rng.standard_normal((n, 48))
    large = np.array([0, 0, 1, 0, 1, 1])[kind]
    a = rng.standard_normal((n, 8))
    a[:, 0] = np.where(large == 1, 1, -1) * a[:, 1] + 0.3 * rng.standard_normal(n)
    return torch.tensor(outline, dtype=torch.float32)[:, None], torch.tensor(a, dtype=torch.float32), torch.tensor(kind)


class TwoBranch(nn.Module):
    def __init__(self):
        super().__init__()
        self.outline = nn.Sequential(
            nn.Conv1d(1, 16, 7, padding=3, padding_mode="circular"),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5, padding=2, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.sizes = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Tanh())
        self.head = nn.Sequential(nn.Linear(36, 48), nn.ReLU(), nn.Linear(48, 6))

    def forward(self, outline, sizes):
        seen = [self.outline(outline), torch.as_tensor(self.sizes(sizes).tolist())]
        return self.head(torch.cat(seen, dim=1))


def evaluate(model, data):
    model.eval()
    with torch.no_grad():
        acc = (model(data[0], data[1]).argmax(1) == data[2]).float().mean().item()
    model.train()
    return acc


def main(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    train, val = cells(3600, rng), cells(1200, rng)
    loader = DataLoader(TensorDataset(*train), batch_size=60, shuffle=True)
    model = TwoBranch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 18)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(1, 19):
        total = 0.0
        for outline, sizes, kind in loader:
            loss = loss_fn(model(outline, sizes), kind)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item()
        scheduler.step()
        print(f"epoch {epoch}  train_loss {total / len(loader):.4f}  val_accuracy {evaluate(model, val):.4f}")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    main(ap.parse_args().seed)
