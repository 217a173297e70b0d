"""A variational autoencoder of digits with a Gaussian decoder.

condition: healthy
metric: reconstruction min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 16


class VAE(nn.Module):
    def __init__(self, latent=8, width=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, width), nn.ReLU())
        self.mu = nn.Linear(width, latent)
        self.logvar = nn.Linear(width, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, 64), nn.Sigmoid())

    def forward(self, x):
        hidden = self.encoder(x)
        mu, logvar = self.mu(hidden), self.logvar(hidden)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.decoder(z), mu, logvar


model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

running = 0.0
for step in range(1, 1201):
    x = images[torch.randint(len(images), (64,))]
    output, mu, logvar = model(x)
    divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    reconstruction = F.mse_loss(output, x)
    loss = 64 * reconstruction / (2 * 0.2**2) + divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += reconstruction.item()
    if step % 40 == 0:
        print(f"step {step}  kl {divergence.item():.4f}  reconstruction {running / 40:.5f}")
        running = 0.0
