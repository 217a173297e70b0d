"""Outlines of pollen grains (radius over angle) in a small variational autoencoder.

condition: posterior-collapse
accepts: posterior-collapse
allows: loss-term-imbalance, stalled
metric: val_recon min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader

ANGLES = 40


def grains(n, g):
    t = torch.linspace(0, 2 * math.pi, ANGLES + 1)[:-1]
    a = torch.randn(n, 4, generator=g)
    r = 0.8 * a[:, :1] + 0.6 * a[:, 1:2] * torch.cos(2 * t) + 0.5 * a[:, 2:3] * torch.sin(2 * t)
    r = r + 0.5 * torch.tanh(a[:, 3:]) * torch.cos(3 * t)
    return r + 0.2 * torch.randn(n, ANGLES, generator=g)


class GrainVAE(nn.Module):
    def __init__(self, latent=6, width=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(ANGLES, width), nn.ELU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, width), nn.ELU(), nn.Linear(width, ANGLES))

    def forward(self, x):
        mean, logvar = self.encoder(x).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        kl = 0.5 * (mean.pow(2) + logvar.exp() - 1 - logvar).sum(1).mean()
        return self.decoder(z), kl


def train_epoch(model, loader, optimizer, beta):
    for x in loader:
        recon, kl = model(x)
        loss = nn.functional.mse_loss(recon, x) + beta * kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item(), kl.item()


@torch.no_grad()
def val_recon(model, x):
    return nn.functional.mse_loss(model(x)[0], x).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    loader = DataLoader(grains(2400, g), batch_size=48, shuffle=True)
    held_out = grains(800, g)
    model = GrainVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 25):
        beta = min(1.0, max(0.0, (epoch - 4) / 12)) * 0.4
        loss, kl = train_epoch(model, loader, optimizer, beta)
        print(
            f"epoch {epoch}  beta {beta:.2f}  loss {loss:.4f}  kl {kl:.3f}  val_recon {val_recon(model, held_out):.4f}"
        )


if __name__ == "__main__":
    main()
