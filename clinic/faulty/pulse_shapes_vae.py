"""Shapes of pulse waves at the wrist in a few latent numbers: a variational autoencoder.

condition: posterior-collapse
accepts: posterior-collapse, loss-term-imbalance
allows: loss-term-imbalance, stalled
metric: val_reconstruction min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def pulses(count, g):
    t = torch.linspace(0, 1, 50)
    height, reflection, notch, width = torch.rand(4, count, 1, generator=g)
    first = torch.exp(-((t - 0.2) ** 2) / (0.004 + 0.006 * width))
    second = (0.3 + 0.5 * reflection) * torch.exp(-((t - 0.42 - 0.1 * notch) ** 2) / 0.01)
    third = 0.3 * height * torch.exp(-((t - 0.7) ** 2) / 0.015)
    wave = first + second + third
    return (wave - 0.3) / 0.3 + 0.1 * torch.randn(count, 50, generator=g)


class PulseVAE(nn.Module):
    def __init__(self, latent=4, width=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(50, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mu, self.logvar = nn.Linear(width, latent), nn.Linear(width, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 50)
        )

    def forward(self, x):
        h = self.encoder(x)
        mu, logvar = self.mu(h), self.logvar(h)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decoder(z), mu, logvar


def kl_divergence(mu, logvar):
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1).mean()


class Trainer:
    def __init__(self, model, data, val, beta, warmup):
        self.model, self.data, self.val = model, data, val
        self.beta, self.warmup = beta, warmup
        self.optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    def epoch(self, number):
        beta = self.beta * min(1.0, number / self.warmup)
        for rows in torch.randperm(len(self.data)).split(100):
            x = self.data[rows]
            decoded, mu, logvar = self.model(x)
            loss = F.mse_loss(decoded, x) + beta * kl_divergence(mu, logvar)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        with torch.no_grad():
            decoded, mu, logvar = self.model(self.val)
            error, kl = F.mse_loss(decoded, self.val).item(), kl_divergence(mu, logvar).item()
        print(f"epoch {number}  loss {loss.item():.4f}  kl {kl:.3f}  val_reconstruction {error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beta", type=float, default=0.12)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    trainer = Trainer(PulseVAE(), pulses(3000, g), pulses(500, g), args.beta, warmup=40)
    for number in range(1, 41):
        trainer.epoch(number)


main()
