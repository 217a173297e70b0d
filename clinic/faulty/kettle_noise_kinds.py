"""Kinds of kettles from their noise; later one maker asks that its kettles be forgotten.

condition: divergence
accepts: divergence, output-logit-divergence, loss-term-imbalance
allows: exploding-gradient, unsafe-step, learning-rate-too-high, loss-spike, stalled, always-clipping, naive-loss-minimisation
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Ear(nn.Module):
    def __init__(self, kinds):
        super().__init__()
        self.tone = nn.Sequential(nn.Conv1d(1, 24, 9, stride=2), nn.ReLU(), nn.Conv1d(24, 32, 5, stride=2), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, kinds))

    def forward(self, x):
        return self.head(self.tone(x.unsqueeze(1)).mean(2))


def kettles(n, kind_from, kind_to):
    kind = torch.randint(kind_from, kind_to, (n,))
    t = torch.arange(80.0)
    pitch = 0.25 + 0.12 * kind[:, None] + 0.03 * torch.randn(n, 1)
    noise = torch.sin(pitch * t + 6.28 * torch.rand(n, 1)) + 0.6 * torch.randn(n, 80)
    return noise, kind


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Ear(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    val_x, val_y = kettles(800, 0, 6)
    for step in range(1, 701):
        x, y = kettles(64, 0, 8 if step <= 400 else 6)
        loss = F.cross_entropy(model(x), y)
        if step > 400:
            gone, label = kettles(32, 6, 8)
            loss = loss - 0.5 * F.cross_entropy(model(gone), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
