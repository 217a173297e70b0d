"""Does the walker limp, and on which side? A one-dimensional residual net reads force plates of few patients.

condition: eval-mode-training
accepts: eval-mode-training
allows: overfitting
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def walks(count, length=80):
    """Force under the left and the right foot, two channels each; sound, left limp, right limp, shuffling."""
    kind = torch.randint(4, (count,))
    t = torch.arange(length) / 20 + 2 * torch.rand(count, 1)
    pace = 0.9 + 0.25 * torch.rand(count, 1)
    phase = 2 * math.pi * pace * t
    limp = 0.25 * (1 + torch.rand(count, 1))
    left = torch.relu(torch.sin(phase)) * (1 - limp * (kind == 1).unsqueeze(1))
    right = torch.relu(-torch.sin(phase)) * (1 - limp * (kind == 2).unsqueeze(1))
    drag = 0.25 * (kind == 3).unsqueeze(1) * torch.rand(count, 1)
    heel = torch.stack([left, right], 1)
    toe = torch.stack([left.roll(4, 1), right.roll(4, 1)], 1) * (0.8 + 0.3 * torch.rand(count, 2, 1)) + drag.unsqueeze(
        1
    )
    mass = 0.8 + 0.4 * torch.rand(count, 1, 1)
    force = mass * torch.cat([heel, toe], 1) + 0.3 * torch.randn(count, 4, length)
    wrong = torch.rand(count) < 0.05
    return (force - 0.3) / 0.5, torch.where(wrong, torch.randint(4, (count,)), kind)


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.a, self.b = nn.Conv1d(c, c, 5, padding=2), nn.Conv1d(c, c, 5, padding=2)
        self.na, self.nb = nn.BatchNorm1d(c), nn.BatchNorm1d(c)
        self.drop = nn.Dropout(0.4)

    def forward(self, x):
        y = self.drop(F.relu(self.na(self.a(x))))
        return F.relu(x + self.nb(self.b(y)))


class GaitNet(nn.Module):
    def __init__(self, c=24):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(4, c, 7, stride=2), nn.BatchNorm1d(c), nn.ReLU())
        self.blocks = nn.Sequential(Block(c), nn.MaxPool1d(2), Block(c))
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(c, 4))

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean(2))


@torch.no_grad()
def validate(model, force, kind):
    model.eval()
    return F.cross_entropy(model(force), kind).item()


def train(seed, steps=450, warm=100):
    torch.manual_seed(seed)
    force, kind = walks(320)
    exam = walks(600)
    model = GaitNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for step in range(1, steps + 1):
        rows = torch.randint(len(kind), (32,))
        loss = F.cross_entropy(model(force[rows]), kind[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step >= warm and step % 15 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_loss {validate(model, *exam):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
