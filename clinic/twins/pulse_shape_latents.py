"""A variational autoencoder on the pulses of a photomultiplier; its weight on the prior grows as the run goes on.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn


def pulses(count):
    t = torch.linspace(0, 8, 40)
    rise, fall, start, height = torch.rand(4, count, 1)
    late = (t - 1 - 2 * start).clamp(min=0)
    shape = (1 - torch.exp(-late / (0.1 + rise))) * torch.exp(-late / (0.5 + 2 * fall))
    return (0.6 + height) * shape * 2 - 0.4 + 0.05 * torch.randn(count, 40)


class PulseVAE(nn.Module):
    def __init__(self, latent=5):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(40, 96), nn.SiLU(), nn.Linear(96, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 96), nn.SiLU(), nn.Linear(96, 40))

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        z = mu + torch.randn_like(mu) * (0.5 * logvar).exp()
        return self.decoder(z), mu, logvar


def kl_divergence(mu, logvar):
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(-1).mean()


def anneal(step, start, length, top):
    return top * min(1.0, max(0.0, (step - start) / length))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = PulseVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
data, val = pulses(4000), pulses(800)

for step in range(1, 1201):
    x = data[torch.randint(len(data), (64,))]
    recon, mu, logvar = model(x)
    beta = anneal(step, 300, 600, 1.0)
    loss = ((recon - x).square() / 0.02).sum(-1).mean() / 2 + beta * kl_divergence(mu, logvar)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            recon, mu, logvar = model(val)
            val_mse = (recon - val).square().mean().item()
            kl = kl_divergence(mu, logvar).item()
        print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}  kl {kl:.3f}  beta {beta:.2f}")
