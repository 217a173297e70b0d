"""Latent states of blood cells from thirty markers of a flow cytometer: a VAE that starts out as an autoencoder.

condition: posterior-collapse
accepts: posterior-collapse, loss-term-imbalance
allows: loss-term-imbalance, stalled, divergence, loss-spike, dead-units, vanishing-gradient
metric: rebuilt min
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

MARKERS = 30


def cells(n, gen, table):
    """Eight cell kinds; activation and the cell cycle shift the markers of each kind along their own directions."""
    kind = torch.randint(8, (n,), generator=gen)
    state = torch.randn(n, 2, generator=gen)
    x = table["mean"][kind] + torch.einsum("nk,nkm->nm", torch.tanh(state), table["shift"][kind])
    return (x + 0.3 * torch.randn(n, MARKERS, generator=gen)) / 1.3


class CellVAE(nn.Module):
    def __init__(self, latent=6, width=96):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(MARKERS, width), nn.ELU(), nn.Linear(width, width), nn.ELU())
        self.mu, self.logvar = nn.Linear(width, latent), nn.Linear(width, latent)
        self.dec = nn.Sequential(
            nn.Linear(latent, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, MARKERS)
        )

    def forward(self, x):
        h = self.enc(x)
        mu, logvar = self.mu(h), self.logvar(h).clamp(-8, 4)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2)
        return self.dec(z), mu, logvar


def elbo(model, x, beta):
    y, mu, logvar = model(x)
    rebuilt = F.mse_loss(y, x)
    kl = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    return rebuilt + beta * kl


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    fixed = torch.Generator().manual_seed(11)
    table = {"mean": torch.randn(8, MARKERS, generator=fixed), "shift": torch.randn(8, 2, MARKERS, generator=fixed)}
    table["shift"] *= 0.7
    loader = DataLoader(TensorDataset(cells(3000, gen, table)), batch_size=100, shuffle=True)
    val = cells(800, gen, table)
    model = CellVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 37):
        beta = min(1.0, max(0.0, (epoch - 10) / 10))
        if epoch == 26:
            optimizer.param_groups[0]["lr"] = 5e-4
        for (x,) in loader:
            loss = elbo(model, x, beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            rebuilt = F.mse_loss(model(val)[0], val).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  rebuilt {rebuilt:.4f}")


if __name__ == "__main__":
    main()
