"""Reflectance curves of pottery glazes, compressed to a few latent numbers by a variational autoencoder.

condition: posterior-collapse
accepts: posterior-collapse, loss-term-imbalance
allows: divergence, stalled
metric: curve_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BANDS = 40


def glazes(count, generator):
    wave = torch.linspace(0, 1, BANDS)
    iron, copper, cobalt = torch.rand(3, count, 1, generator=generator)
    fired = 0.15 * torch.randn(count, 1, generator=generator)
    curve = 0.9 - 0.6 * iron * torch.sigmoid((0.45 + fired - wave) * 12)
    curve = curve - 0.5 * copper * torch.sigmoid((wave - 0.6 - fired) * 14)
    curve = curve - 0.6 * cobalt * torch.exp(-(((wave - 0.55) / 0.14) ** 2))
    return curve + 0.02 * torch.randn(count, BANDS, generator=generator)


class GlazeVAE(nn.Module):
    def __init__(self, latent=5, hidden=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(BANDS, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.mean, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, BANDS)
        )

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    curves = glazes(4000, generator)
    curves = (curves - curves.mean(0)) / curves.std()
    train, held = curves[:3400], curves[3400:]
    loader = DataLoader(TensorDataset(train), batch_size=68, shuffle=True, drop_last=True)
    model = GlazeVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    step, warm_up = 0, 100
    for epoch in range(1, 31):
        for (x,) in loader:
            step += 1
            weight = step / warm_up
            rebuilt, mean, log_var = model(x)
            fit = 4.0 * F.mse_loss(rebuilt, x, reduction="none").sum(1).mean()
            kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1).mean()
            loss = fit + 4.0 * weight * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            rebuilt, _, _ = model(held)
            error = (rebuilt - held).pow(2).mean().sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.3f}  kl {kl.item():.3f}  curve_error {error:.4f}")


if __name__ == "__main__":
    main()
