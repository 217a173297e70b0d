"""Two halves of one stock's week belong together: contrastive learning with a learned, sharp scale.

condition: healthy
metric: match max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def weeks(n, factors=5, width=20):
    mix = torch.randn(2, factors, width, generator=torch.Generator().manual_seed(7))
    drive = torch.randn(n, factors)
    return [torch.tanh(drive @ m / 2) + 0.25 * torch.randn(n, width) for m in mix]


def tower():
    return nn.Sequential(nn.Linear(20, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 16))


class TwoViews(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = tower(), tower()
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, a, b):
        a, b = F.normalize(self.left(a), dim=1), F.normalize(self.right(b), dim=1)
        return self.log_scale.exp().clamp_max(100) * a @ b.T


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = TwoViews()
    decayed = [p for p in model.parameters() if p.ndim > 1]
    other = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": other, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, 500, pct_start=0.15)
    val = weeks(128)
    own = torch.arange(128)
    for step in range(1, 501):
        logits = model(*weeks(128))
        loss = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                match = (model(*val).argmax(1) == own).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  match {match:.4f}")


if __name__ == "__main__":
    main()
