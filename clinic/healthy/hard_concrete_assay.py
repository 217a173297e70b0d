"""Which of 60 markers decide an assay: a network whose inputs pass through stochastic gates with a price.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

MARKERS, TRUE = 60, 6
LOW, HIGH, HEAT = -0.1, 1.1, 2 / 3


class Gates(nn.Module):
    """Hard-concrete gates: exactly 0 or exactly 1 for most draws once they have decided."""

    def __init__(self, count):
        super().__init__()
        self.log_alpha = nn.Parameter(0.01 * torch.randn(count) + 0.5)

    def forward(self, x):
        if self.training:
            u = torch.rand(x.shape).clamp(1e-4, 1 - 1e-4)
            s = torch.sigmoid((u.logit() + self.log_alpha) / HEAT)
        else:
            s = torch.sigmoid(self.log_alpha)
        return x * (s * (HIGH - LOW) + LOW).clamp(0, 1)

    def open_count(self):
        return torch.sigmoid(self.log_alpha - HEAT * math.log(-LOW / HIGH)).sum()


def assay(count, rng):
    x = torch.randn(count, MARKERS, generator=rng)
    a, b, c, d, e, f = x[:, :TRUE].T
    y = a * b + torch.sin(1.5 * c) + 0.8 * d.abs() - 0.7 * e + 0.5 * f**2
    return x, (y - 1.1) / 1.6 + 0.1 * torch.randn(count, generator=rng)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = assay(3000, rng)
    x_val, y_val = assay(1500, rng)
    gates = Gates(MARKERS)
    body = nn.Sequential(
        nn.Linear(MARKERS, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1), nn.Flatten(0)
    )
    optimizer = torch.optim.Adam([
        {"params": gates.parameters(), "lr": 0.02}, {"params": body.parameters(), "lr": 3e-3},
    ])  # fmt: skip
    epochs = 36
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        price = 0.006 * min(1.0, max(0.0, (epoch - 6) / 6))
        gates.train()
        for rows in torch.randperm(len(x)).split(60):
            loss = (body(gates(x[rows])) - y[rows]).pow(2).mean() + price * gates.open_count()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        gates.eval()
        with torch.no_grad():
            error = (body(gates(x_val)) - y_val).pow(2).mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  open {gates.open_count().item():.1f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
