"""Stars of a spiral galaxy with two arms: a denoising diffusion model in the plane learns to predict the noise.

condition: unscaled-inputs
accepts: unscaled-inputs, saturated-units
allows: stalled, saturated-units, exploding-gradient
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

T = 200


def stars(count):
    arm = torch.randint(2, (count,)) * math.pi
    radius = 0.3 + 1.6 * torch.rand(count).sqrt()
    angle = arm + 2.2 * radius
    place = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return place + 0.07 * torch.randn(count, 2)


class Schedule:
    def __init__(self):
        steps = torch.arange(T + 1) / T
        signal = torch.cos((steps + 0.008) / 1.008 * math.pi / 2) ** 2
        self.alpha_bar = (signal / signal[0])[1:].clamp(1e-4, 0.9999)

    def noise(self, x, t, eps):
        kept = self.alpha_bar[t].unsqueeze(1)
        return kept.sqrt() * x + (1 - kept).sqrt() * eps


class Denoiser(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x, t):
        return self.net(torch.cat([x, t.float().unsqueeze(1)], dim=1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    schedule = Schedule()
    model = Denoiser()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps, eta_min=1e-5)
    held, held_t, held_eps = stars(4000), torch.randint(T, (4000,)), torch.randn(4000, 2)
    for step in range(1, args.steps + 1):
        x, t, eps = stars(256), torch.randint(T, (256,)), torch.randn(256, 2)
        loss = F.mse_loss(model(schedule.noise(x, t, eps), t), eps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 100 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(schedule.noise(held, held_t, held_eps), held_t), held_eps).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
