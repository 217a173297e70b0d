"""A variational autoencoder of lichen growth profiles; the weight of the divergence warms up before it stays.

condition: posterior-collapse
accepts: posterior-collapse
allows: loss-term-imbalance
metric: rebuild_error min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class ProfileVAE(nn.Module):
    def __init__(self, size=40, latent=4):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(size, 96), nn.GELU(), nn.Linear(96, 2 * latent))
        self.decode = nn.Sequential(nn.Linear(latent, 96), nn.GELU(), nn.Linear(96, size))

    def forward(self, x):
        mean, log_var = self.encode(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()
        return self.decode(z), kl


def profiles(n):
    t = torch.linspace(0, 1, 40)
    a, b, c = torch.rand(3, n, 1)
    return 2 * a * torch.sin(6 * t + 4 * b) + (c - 0.5) * 2 * t + 0.05 * torch.randn(n, 40)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = ProfileVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
held = profiles(800)
for step in range(1, 1001):
    batch = profiles(64)
    rebuilt, kl = model(batch)
    weight = min(1.0, max(0, step - 300) / 300)
    loss = F.mse_loss(rebuilt, batch) + weight * kl
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        with torch.no_grad():
            error = F.mse_loss(model(held)[0], held).item()
        print(f"step {step}  loss {loss.item():.4f}  kl {kl.item():.3f}  rebuild_error {error:.4f}")
