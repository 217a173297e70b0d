"""A network learns Kepler's equation: the eccentric anomaly from mean anomaly and eccentricity, to many digits.

condition: healthy
metric: digits max
"""

import argparse
import math

import torch
from torch import nn

STEPS = 600


def orbits(size):
    """Mean anomaly M and eccentricity e; the target is E - M, where E - e sin E = M (by Newton's method)."""
    mean, eccentricity = 2 * math.pi * torch.rand(size), 0.8 * torch.rand(size)
    anomaly = mean.clone()
    for _ in range(12):
        anomaly -= (anomaly - eccentricity * anomaly.sin() - mean) / (1 - eccentricity * anomaly.cos())
    return torch.stack([mean.sin(), mean.cos(), eccentricity], 1), anomaly - mean


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-2)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
    loss_fn = nn.MSELoss()
    x_test, y_test = orbits(1000)

    for step in range(1, STEPS + 1):
        x, y = orbits(16)
        loss = loss_fn(model(x).squeeze(1), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                rmse = loss_fn(model(x_test).squeeze(1), y_test).sqrt().item()
            print(f"step {step}  rate {scheduler.get_last_lr()[0]:.2e}  digits {-math.log10(rmse):.3f}")


if __name__ == "__main__":
    main()
