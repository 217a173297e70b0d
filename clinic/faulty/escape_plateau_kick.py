"""Torque of a motor from speed, angle and current; whenever training seems stuck, some longer steps shall free it.

condition: loss-spike
accepts: loss-spike, unsafe-step, learning-rate-too-high
allows: unsafe-step, learning-rate-too-high, divergence, dead-units, exploding-gradient, saturated-units, stalled
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


class Kicker:
    """Lengthens a few steps when the smoothed loss has not fallen for some time."""

    def __init__(self, optimizer, factor, patience=20, length=6):
        self.optimizer, self.factor, self.patience, self.length = optimizer, factor, patience, length
        self.rate = optimizer.param_groups[0]["lr"]
        self.smooth = self.best = None
        self.waited = self.left = 0

    def step(self, loss):
        self.smooth = loss if self.smooth is None else 0.9 * self.smooth + 0.1 * loss
        if self.best is None or self.smooth < 0.97 * self.best:
            self.best, self.waited = self.smooth, 0
        else:
            self.waited += 1
        if self.waited > self.patience:
            self.left, self.waited, self.best = self.length, 0, self.smooth
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * (self.factor if self.left > 0 else 1)
        self.left -= 1


def motor(count, generator):
    speed, angle, current = (torch.rand(3, count, generator=generator) * 2 - 1).unbind(0)
    torque = current * (1 - 0.5 * speed**2) + 0.4 * torch.sin(6 * angle) * current + 0.15 * torch.cos(12 * angle)
    inputs = torch.stack([speed, angle.mul(3.14).sin(), angle.mul(3.14).cos(), current], 1)
    return inputs, torque.unsqueeze(1) / 0.6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = motor(3000, generator)
    model = nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    kicker = Kicker(optimizer, factor=100)
    loss_fn = nn.MSELoss()
    for step in range(1, 601):
        rows = torch.randint(2500, (64,), generator=generator)
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kicker.step(loss.item())
        if step % 12 == 0:
            with torch.no_grad():
                val_rmse = loss_fn(model(x[2500:]), y[2500:]).sqrt().item()
            print(f"step {step}  loss {loss.item():.5f}  val_rmse {val_rmse:.4f}")


if __name__ == "__main__":
    main()
