"""Tracks of drifting buoys, twenty-four positions a day: a recurrent encoder, eight latent numbers, a dense decoder.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

HOURS, LATENT = 24, 8


def tracks(count):
    """Ways from the point of release in units of the map's width: a drift, and a loop that the tide drives."""
    t = torch.linspace(0, 1, HOURS).view(1, HOURS, 1)
    drift = 0.2 * torch.randn(count, 1, 2)
    size = 0.1 + 0.1 * torch.rand(count, 1, 1)
    phase = 2 * torch.pi * torch.rand(count, 1, 1)
    angle = 4 * torch.pi * t + phase
    loop = size * torch.cat([angle.cos(), angle.sin()], 2)
    return drift * t + loop + 0.01 * torch.randn(count, HOURS, 2)


class TrackVAE(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.encoder = nn.GRU(2, width, batch_first=True)
        self.posterior = nn.Linear(width, 2 * LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, 96), nn.SiLU(), nn.Linear(96, 2 * HOURS))

    def encode(self, x):
        _, last = self.encoder(x)
        mean, raw = self.posterior(last[0]).chunk(2, 1)
        return Normal(mean, nn.functional.softplus(raw) + 1e-3)

    def decode(self, z):
        return Normal(self.decoder(z).view(-1, HOURS, 2), 0.05)

    def negative_elbo(self, x):
        q = self.encode(x)
        likelihood = self.decode(q.rsample()).log_prob(x).sum((1, 2))
        divergence = kl_divergence(q, Normal(0.0, 1.0)).sum(1)
        return (divergence - likelihood).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = TrackVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    held = tracks(400)
    for step in range(1, 401):
        loss = model.negative_elbo(tracks(64))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1000.0)
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = (model.decode(model.encode(held).mean).mean - held).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.3f}  error {error:.4f}")


if __name__ == "__main__":
    main()
