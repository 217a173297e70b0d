"""A diffusion model of smoke rings in two dimensions; a network predicts the noise from the point and the time.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: saturated-units, dead-units, loss-spike, learning-rate-too-high, off-critical-initialisation,
  exploding-gradient, stalled, unsafe-step, edge-of-stability
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

STEPS = 1000
alpha_bar = torch.cos(torch.linspace(0, math.pi / 2 * 0.99, STEPS)).square()


def rings(count):
    which = torch.randint(3, (count, 1)).float()
    angle = 2 * math.pi * torch.rand(count, 1)
    circle = torch.cat([angle.cos(), angle.sin()], 1) * (0.35 + 0.03 * torch.randn(count, 1))
    return 1.6 * (circle + torch.cat([1.1 * (which - 1), 0.5 * (which - 1).abs()], 1))


class Denoiser(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x, t):
        return self.net(torch.cat([x, t[:, None].float()], 1))


def noised(points):
    t = torch.randint(STEPS, (len(points),))
    noise = torch.randn_like(points)
    a = alpha_bar[t, None]
    return a.sqrt() * points + (1 - a).sqrt() * noise, t, noise


def main(seed):
    torch.manual_seed(seed)
    model = Denoiser()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    loss_fn = nn.MSELoss()
    val_x, val_t, val_noise = noised(rings(4000))
    for step in range(1, 1201):
        x, t, noise = noised(rings(128))
        loss = loss_fn(model(x, t), noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x, val_t), val_noise).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
