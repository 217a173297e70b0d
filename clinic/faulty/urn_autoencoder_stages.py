"""Completes the profile of a broken urn: first learned on drawn profiles of all kinds, then tuned on those of one site.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, loss-spike, exploding-gradient, learning-rate-too-high, unsafe-step, dead-units, stalled
metric: site_error min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

HEIGHT = 64


def profiles(n, site=False):
    """Radius over height: foot, belly, neck and rim."""
    h = torch.linspace(0, 1, HEIGHT)
    belly = 0.3 + 0.3 * torch.rand(n, 1) if not site else 0.55 + 0.15 * torch.rand(n, 1)
    width = 0.12 + 0.15 * torch.rand(n, 1)
    neck = 0.2 + 0.25 * torch.rand(n, 1) if not site else 0.2 + 0.6 * belly - 0.25
    rim = 0.25 * torch.rand(n, 1)
    foot = 0.2 * torch.rand(n, 1)
    ribs = 0.05 * torch.sin(2 * math.pi * 7 * (h + torch.rand(n, 1))) if site else 0.0
    r = (
        neck
        + 0.6 * torch.exp(-0.5 * ((h - belly) / width) ** 2)
        + rim * torch.sigmoid((h - 0.93) * 60)
        + foot * torch.sigmoid((0.07 - h) * 60)
        + ribs
    )
    return (r[:, None] - 0.5) / 0.3


def breakage(whole):
    n = len(whole)
    start, length = torch.rand(n, 1, 1) * 0.7, 0.15 + 0.2 * torch.rand(n, 1, 1)
    h = torch.linspace(0, 1, HEIGHT)
    kept = ~((h > start) & (h < start + length))
    return torch.cat([whole * kept, kept.float()], 1)


class Completer(nn.Module):
    def __init__(self, c=16):
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv1d(2, c, 5, 2, 2),
            nn.ELU(),
            nn.Conv1d(c, 2 * c, 5, 2, 2),
            nn.ELU(),
            nn.Flatten(),
            nn.Linear(32 * c, 48),
        )
        self.up = nn.Sequential(
            nn.ELU(),
            nn.Linear(48, 32 * c),
            nn.Unflatten(1, (2 * c, 16)),
            nn.ELU(),
            nn.ConvTranspose1d(2 * c, c, 4, 2, 1),
            nn.ELU(),
            nn.ConvTranspose1d(c, 1, 4, 2, 1),
        )

    def forward(self, broken):
        return self.up(self.down(broken))


def train_epoch(model, optimizer, data, batch=50):
    for rows in torch.randperm(len(data)).split(batch):
        optimizer.zero_grad()
        F.mse_loss(model(breakage(data[rows])), data[rows]).backward()
        optimizer.step()


def site_error(model, pieces, whole):
    with torch.no_grad():
        return (model(pieces) - whole).abs().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    drawn, site, whole = profiles(2000), profiles(600, site=True), profiles(300, site=True)
    pieces = breakage(whole)
    model = Completer()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 9):
        train_epoch(model, optimizer, drawn)
        print(f"epoch {epoch}  site_error {site_error(model, pieces, whole):.4f}")

    tuning = torch.optim.Adam(model.parameters(), lr=5e-4)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(tuning, 16 * 12)
    for epoch in range(9, 25):
        for rows in torch.randperm(len(site)).split(50):
            loss = F.mse_loss(model(breakage(site[rows])), site[rows])
            loss.backward()
            tuning.step()
            decay.step()
        print(f"epoch {epoch}  site_error {site_error(model, pieces, whole):.4f}")


if __name__ == "__main__":
    main()
