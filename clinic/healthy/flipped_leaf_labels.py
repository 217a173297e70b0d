"""Leaves named by schoolchildren, three in ten of them wrongly; the true names are only known for the test.

condition: healthy
metric: true_error min
"""

import argparse
import math

import torch
from torch import nn

KINDS, POINTS = 6, 48


def leaves(n):
    kind = torch.randint(KINDS, (n,))
    angle = torch.linspace(0, 2 * math.pi, POINTS + 1)[:-1] + 0.3 * torch.randn(n, 1)
    lobes, depth = (2 + kind % 3)[:, None], (0.2 + 0.2 * (kind // 3))[:, None]
    outline = (
        1 + depth * (lobes * angle).cos() + 0.15 * torch.randn(n, 1) * (2 * angle).sin() + 0.1 * torch.randn(n, POINTS)
    )
    return (outline[:, None] - 1) / 0.25, kind


def named_by_children(kind):
    wrong = torch.rand(len(kind)) < 0.3
    return torch.where(wrong, torch.randint(KINDS, kind.shape), kind)


class Ring(nn.Module):
    """Convolutions around the outline."""

    def __init__(self, c=16):
        super().__init__()
        conv = lambda i, o, s: nn.Conv1d(i, o, 7, stride=s, padding=3, padding_mode="circular")
        self.body = nn.Sequential(
            conv(1, c, 2), nn.BatchNorm1d(c), nn.ReLU(), conv(c, 2 * c, 2), nn.BatchNorm1d(2 * c), nn.ReLU()
        )
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(2 * c, KINDS))

    def forward(self, x):
        return self.head(self.body(x).amax(-1))


class ForwardCorrected(nn.Module):
    """Cross-entropy of the names given, with the known rate of wrong ones mixed into the prediction."""

    def __init__(self, rate):
        super().__init__()
        mix = torch.full((KINDS, KINDS), rate / KINDS)
        mix.fill_diagonal_(1 - rate + rate / KINDS)
        self.register_buffer("mix", mix)

    def forward(self, logits, given):
        return nn.functional.nll_loss((logits.softmax(-1) @ self.mix).log(), given)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, true = leaves(6000)
    given = named_by_children(true)
    test_x, test_true = leaves(1000)
    model, loss_fn = Ring(), ForwardCorrected(0.3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    epochs, size = 15, 75
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(size):
            loss = loss_fn(model(x[rows]), given[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows) / len(x)
        schedule.step()
        model.eval()
        with torch.no_grad():
            error = (model(test_x).argmax(1) != test_true).float().mean().item()
        print(f"epoch {epoch}  loss {total:.4f}  true_error {error:.4f}")


if __name__ == "__main__":
    main()
