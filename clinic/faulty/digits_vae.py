"""A variational autoencoder of handwritten digits.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: learning-rate-too-high, posterior-collapse, dead-units, saturated-units, divergence, loss-spike
metric: elbo max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class VAE(nn.Module):
    def __init__(self, latent=4, width=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, width), nn.ReLU(), nn.Linear(width, 64))

    def forward(self, x):
        mean, logvar = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
        return self.decoder(z), mean, logvar


def negative_elbo(logits, x, mean, logvar):
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * (1 + logvar - mean.pow(2) - logvar.exp()).sum()
    return (reconstruction + divergence) / len(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 16
loader = DataLoader(
    TensorDataset(images[:1500]), batch_size=100, shuffle=True, generator=torch.Generator().manual_seed(args.seed)
)
model = VAE()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
optimizer.zero_grad()

for epoch in range(1, 31):
    for (x,) in loader:
        logits, mean, logvar = model(x)
        loss = negative_elbo(logits, x, mean, logvar)
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        x = images[1500:]
        logits, mean, logvar = model(x)
        elbo = -negative_elbo(logits, x, mean, logvar).item()
    print(f"epoch {epoch}  loss {loss.item():.3f}  elbo {elbo:.3f}")
