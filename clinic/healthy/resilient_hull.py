"""Resistance of a ship's hull from its shape: resilient backpropagation on the whole table.

condition: healthy
infos: stale-batch
metric: val_error min
"""

import argparse

import torch
from torch import nn


def towing_tank(count, rng):
    """Prismatic coefficient, displacement ratio, beam to draught, length to beam, position of buoyancy, speed."""
    shape = 2 * torch.rand(count, 5, generator=rng) - 1
    froude = 0.12 + 0.34 * torch.rand(count, generator=rng)
    wave = torch.exp(11 * (froude - 0.33)) * (1 + 0.3 * shape[:, 0] - 0.35 * shape[:, 3])
    hump = 0.4 * torch.exp(-(((froude - 0.3) / 0.025) ** 2)) * (1 - 0.4 * shape[:, 1])
    drag = 1.5 * froude**1.8 * (1 + 0.1 * shape[:, 2]) + wave + hump
    drag = torch.log(drag * (1 + 0.03 * torch.randn(count, generator=rng)))
    return torch.cat([shape * 1.7, (froude[:, None] - 0.29) / 0.1], 1), drag


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = towing_tank(1500, rng)
    x_val, y_val = towing_tank(700, rng)
    mean, std = y.mean(), y.std()
    y, y_val = (y - mean) / std, (y_val - mean) / std
    model = nn.Sequential(nn.Linear(6, 24), nn.Tanh(), nn.Linear(24, 12), nn.Tanh(), nn.Linear(12, 1))
    optimizer = torch.optim.Rprop(model.parameters(), lr=1e-3, etas=(0.5, 1.15), step_sizes=(1e-7, 0.1))
    for step in range(1, 601):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x)[:, 0], y)
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                error = (model(x_val)[:, 0] - y_val).pow(2).mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
