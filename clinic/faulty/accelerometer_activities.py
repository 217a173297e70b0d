"""Six activities from a wrist's accelerometer; the recordings are put into a new order every eight epochs.

condition: stalled
accepts: stalled
allows: divergence, loss-spike, overfitting
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

ACTIVITIES = ("sit", "walk", "run", "stairs", "cycle", "wash")


def recordings(count, length=50, rate=20):
    label = torch.randint(len(ACTIVITIES), (count,))
    pace = torch.tensor([0.0, 1.8, 2.7, 1.5, 1.2, 3.5])[label] * (1 + 0.08 * torch.randn(count))
    force = torch.tensor([0.0, 0.5, 1.3, 0.6, 0.3, 0.5])[label] * (0.8 + 0.4 * torch.rand(count))
    sharp = torch.tensor([0.0, 0.3, 0.8, 0.5, 0.0, 0.1])[label]
    side = torch.tensor([0.1, 0.4, 0.3, 0.2, 0.9, 1.6])[label]
    t = torch.arange(length) / rate + 5 * torch.rand(count, 1)
    swing = 2 * math.pi * pace.unsqueeze(1) * t
    up = torch.sin(swing) + sharp.unsqueeze(1) * torch.sin(2 * swing + 0.5)
    axes = torch.stack([0.5 * torch.cos(swing / 2), side.unsqueeze(1) * torch.cos(swing), up], 1)
    tilt = 0.3 * torch.randn(count, 3, 1)
    return force.view(-1, 1, 1) * axes + tilt + 0.25 * torch.randn(count, 3, length), label


class Archive:
    def __init__(self, signals, labels):
        self.signals, self.labels = signals, labels

    def __len__(self):
        return len(self.labels)

    def reorder(self):
        self.signals = self.signals[torch.randperm(len(self))]
        self.labels = self.labels[torch.randperm(len(self))]

    def batches(self, size):
        for first in range(0, len(self), size):
            yield self.signals[first : first + size], self.labels[first : first + size]


class WristNet(nn.Module):
    def __init__(self, c=24):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(3, c, 7, stride=2), nn.GroupNorm(4, c), nn.ReLU(), nn.Conv1d(c, c, 5, stride=2), nn.ReLU()
        )
        self.gru = nn.GRU(c, 32, batch_first=True)
        self.head = nn.Linear(32, len(ACTIVITIES))

    def forward(self, x):
        _, last = self.gru(self.conv(x).transpose(1, 2))
        return self.head(last[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=24)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    archive = Archive(*recordings(1500))
    val_signals, val_labels = recordings(600)
    model = WristNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, args.epochs + 1):
        if epoch % 8 == 0:
            archive.reorder()
        total = 0.0
        for signals, labels in archive.batches(60):
            loss = F.cross_entropy(model(signals), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        with torch.no_grad():
            wrong = (model(val_signals).argmax(1) != val_labels).float().mean().item()
        print(f"epoch {epoch}  loss {total / len(archive):.4f}  val_error {wrong:.4f}")


if __name__ == "__main__":
    main()
