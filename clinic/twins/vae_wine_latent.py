"""A variational autoencoder of wines: thirteen measurements through three latent numbers, to find strange bottles.

condition: healthy
metric: rebuilt min
"""

import argparse

import torch
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler
from torch import nn


class WineVAE(nn.Module):
    def __init__(self, measures=13, hidden=32, latent=3):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(measures, hidden), nn.Tanh())
        self.mean, self.log_var = nn.Linear(hidden, latent), nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, measures))

    def forward(self, x):
        h = self.encoder(x)
        mean, log_var = self.mean(h), self.log_var(h)
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        return self.decoder(z), mean, log_var


def loss_fn(rebuilt, x, mean, log_var):
    mse = 0.5 * (rebuilt - x).square().sum(1).mean()
    kld = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp(), 1).mean()
    return mse / 0.3 + kld


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

wines = torch.tensor(StandardScaler().fit_transform(load_wine().data), dtype=torch.float32)
wines = wines[torch.randperm(len(wines))]
train, val = wines[:140], wines[140:]
model = WineVAE()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

for epoch in range(1, 101):
    for batch in train[torch.randperm(140)].split(28):
        optimizer.zero_grad()
        rebuilt, mean, log_var = model(batch)
        loss = loss_fn(rebuilt, batch, mean, log_var)
        loss.backward()
        optimizer.step()
    if epoch % 4 == 0:
        with torch.no_grad():
            error = (model.decoder(model.mean(model.encoder(val))) - val).square().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  rebuilt {error:.4f}")
