"""A VAE of digits with a Bernoulli decoder; the weight of the divergence rises from zero, so that the loss rises too.

condition: healthy
metric: bits min
"""

import argparse
import math

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
    def __init__(self, latent=6, width=96):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, width), nn.SiLU(), nn.Linear(width, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, 64))

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return self.decoder(z), mu, logvar


model = VAE()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

running = 0.0
for step in range(1, 801):
    x = images[torch.randint(len(images), (64,))]
    logits, mu, logvar = model(x)
    reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
    divergence = 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()
    loss = reconstruction + min(1.0, step / 400) * divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += (reconstruction + divergence).item() / (64 * math.log(2))
    if step % 25 == 0:
        print(f"step {step}  kl {divergence.item():.3f}  bits {running / 25:.4f}")
        running = 0.0
