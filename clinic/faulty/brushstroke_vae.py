"""A variational autoencoder of brush strokes: sixteen points of a bent curve, the divergence is phased in.

condition: posterior-collapse
accepts: posterior-collapse
allows: loss-term-imbalance, divergence, stalled, dead-units, loss-spike
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

POINTS = 16


def strokes(count, generator):
    t = torch.linspace(0, 1, POINTS)
    bend, start, slope, length = torch.randn(4, count, 1, generator=generator)
    angle = start + 0.8 * slope * t + 0.8 * bend * torch.sin(math.pi * t)
    pace = (1 + 0.25 * length).abs() / POINTS * 4
    path = torch.stack([(pace * angle.cos()).cumsum(1), (pace * angle.sin()).cumsum(1)], 2)
    path = path - path.mean(1, keepdim=True)
    return path.flatten(1) + 0.05 * torch.randn(count, 2 * POINTS, generator=generator)


class StrokeVAE(nn.Module):
    def __init__(self, latent=5, width=96):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(2 * POINTS, width), nn.ELU(), nn.Linear(width, 2 * latent))
        self.decode = nn.Sequential(
            nn.Linear(latent, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 2 * POINTS)
        )

    def forward(self, x):
        mean, log_var = self.encode(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decode(z), mean, log_var


def divergence(mean, log_var):
    return 0.5 * (mean.pow(2) + log_var.exp() - 1 - log_var).sum(1).mean()


def reconstruction(out, x, noise=0.3):
    return (out - x).pow(2).sum(1).mean() / (2 * noise**2)


def main(seed, steps=1200, warm=150):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    val = strokes(800, generator)
    model = StrokeVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    for step in range(1, steps + 1):
        x = strokes(64, generator)
        out, mean, log_var = model(x)
        beta = (step / warm) ** 2
        loss = reconstruction(out, x) + beta * divergence(mean, log_var)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_error = F.mse_loss(model(val)[0], val).sqrt()
            print(f"step {step}  loss {loss.item():.3f}  beta {beta:.2f}  val_error {val_error.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
