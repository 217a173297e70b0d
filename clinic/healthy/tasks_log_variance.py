"""Grain from its spectrum: water, protein and kind in one network; every task's weight is learned with it.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, KINDS = 60, 4


def grain(count, g):
    band = torch.linspace(0, 1, BANDS)
    kind = torch.randint(KINDS, (count,), generator=g)
    water, protein = torch.randn(2, count, 1, generator=g)
    curve = torch.exp(-((band - 0.3) ** 2) / 0.01) * (1 + 0.4 * water)
    curve = curve + torch.exp(-((band - 0.7) ** 2) / 0.02) * protein
    curve = curve + 0.5 * torch.sin(6 * band + 1.5 * kind.unsqueeze(1)) + 0.3 * water * protein * torch.cos(9 * band)
    scatter = 0.2 * torch.randn(count, 1, generator=g) * band
    return curve + scatter + 0.1 * torch.randn(count, BANDS, generator=g) - 0.4, torch.cat([water, protein], 1), kind


class GrainNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(BANDS, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.amounts, self.kind = nn.Linear(width, 2), nn.Linear(width, KINDS)
        self.log_variance = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        h = self.trunk(x)
        return self.amounts(h), self.kind(h)


def losses(model, x, amounts, kind):
    predicted, logits = model(x)
    squares = (predicted - amounts).square().mean(0)
    return torch.stack([0.5 * squares[0], 0.5 * squares[1], F.cross_entropy(logits, kind)])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    data, val = grain(12000, g), grain(800, g)
    model = GrainNet()
    optimizer = torch.optim.AdamW(
        [
            {"params": [*model.trunk.parameters(), *model.amounts.parameters(), *model.kind.parameters()]},
            {"params": [model.log_variance], "lr": 1e-2, "weight_decay": 0.0},
        ],
        lr=2e-3,
        weight_decay=1e-2,
    )
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / 60, max(0.02, 1 - step / 900))
    )
    for step in range(1, 901):
        rows = torch.randint(12000, (96,), generator=g)
        each = losses(model, *(part[rows] for part in data))
        loss = (each * torch.exp(-model.log_variance) + 0.5 * model.log_variance).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 45 == 0:
            with torch.no_grad():
                predicted, logits = model(val[0])
            val_error = (predicted - val[1]).square().mean().sqrt().item()
            accuracy = (logits.argmax(1) == val[2]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {accuracy:.3f}  val_error {val_error:.4f}")


main()
