"""Fish from the rings of their ear bones: first the kind is learned, then the age in days joins in.

condition: healthy
metric: val_kind_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

KINDS = 6


def ear_bones(count, table, g):
    kind = torch.randint(KINDS, (count,), generator=g)
    days = 60 + 700 * torch.rand(count, generator=g)
    t = torch.linspace(0, 1, 48)
    growth, beat, twist = (row[kind].unsqueeze(1) for row in table)
    rings = torch.sin(2 * math.pi * (days / 90).unsqueeze(1) * t**growth) * torch.exp(-beat * t)
    outline = torch.sin(2 * math.pi * twist * t) * 0.5
    profile = rings + outline + 0.25 * torch.randn(count, 48, generator=g)
    return profile.unsqueeze(1) / 0.6, kind, days


class OtolithNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv1d(1, 24, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(24, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(32 * 12, 64),
            nn.ReLU(),
        )
        self.kind, self.age = nn.Linear(64, KINDS), nn.Linear(64, 1)

    def forward(self, x):
        h = self.trunk(x)
        return self.kind(h), self.age(h).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    table = torch.stack(
        [
            0.6 + torch.rand(KINDS, generator=g),
            3 * torch.rand(KINDS, generator=g),
            1 + 2 * torch.rand(KINDS, generator=g),
        ]
    )
    x, kind, days = ear_bones(6000, table, g)
    val_x, val_kind, val_days = ear_bones(800, table, g)
    centre, spread = days.mean(), days.std()

    model = OtolithNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, 17):
        for rows in torch.randperm(len(x), generator=g).split(120):
            logits, age = model(x[rows])
            loss = F.cross_entropy(logits, kind[rows])
            if epoch > 5:
                loss = loss + F.mse_loss(age, (days[rows] - centre) / spread)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            logits, age = model(val_x)
        kind_loss = F.cross_entropy(logits, val_kind).item()
        age_error = (age * spread + centre - val_days).abs().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.3f}  val_age_error {age_error:.1f}  val_kind_loss {kind_loss:.4f}")


main()
