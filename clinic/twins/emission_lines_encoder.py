"""Redshifts of galaxies from their emission lines, read by a residual encoder.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

LINES = torch.tensor([0.18, 0.31, 0.36, 0.52, 0.55])
HEIGHTS = torch.tensor([1.0, 0.7, 1.6, 0.8, 1.2])


def observe(count, bins=192):
    """Spectra over a logarithmic wavelength, where a redshift is a shift."""
    shift = 0.4 * torch.rand(count, 1)
    axis = torch.linspace(0, 1, bins).view(1, bins, 1)
    height = HEIGHTS * (0.5 + torch.rand(count, 5))
    lines = (height.unsqueeze(1) * torch.exp(-(((axis - shift.unsqueeze(1) - LINES) / 0.012) ** 2))).sum(-1)
    return (lines + 0.25 * torch.randn(count, bins)), (shift - 0.2) / 0.115


class Encoder(nn.Module):
    def __init__(self, bins=192, width=96):
        super().__init__()
        self.enter = nn.Linear(bins, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(2)
        )
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        x = nn.functional.gelu(self.enter(x))
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


def main(seed):
    torch.manual_seed(seed)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    total = 1200
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: 0.5 * (1 + torch.cos(torch.tensor(3.1416 * s / total)).item())
    )
    spectra, truth = observe(800)
    for step in range(1, total + 1):
        x, y = observe(64)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            guess = model(x)
        loss = nn.functional.smooth_l1_loss(guess.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 75 == 0:
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                error = (model(spectra).float() - truth).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
