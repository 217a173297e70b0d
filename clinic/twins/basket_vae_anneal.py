"""Baskets of a grocer's customers by a variational autoencoder with a multinomial likelihood.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

ITEMS = 120


def baskets(n, tastes, g):
    who = torch.distributions.Dirichlet(torch.full((6,), 0.25))
    mix = who.sample((n,))
    shares = mix @ tastes
    return torch.stack(
        [torch.bincount(row, minlength=ITEMS) for row in torch.multinomial(shares, 40, True, generator=g)]
    ).float()


class BasketVAE(nn.Module):
    def __init__(self, latent=8):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(ITEMS, 80), nn.Tanh(), nn.Linear(80, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, 80), nn.Tanh(), nn.Linear(80, ITEMS))

    def forward(self, x):
        mu, logvar = self.encoder(F.normalize(x, dim=1) * 4).chunk(2, dim=1)
        z = mu + torch.randn_like(mu) * torch.exp(logvar / 2) if self.training else mu
        return F.log_softmax(self.decoder(z), 1), mu, logvar


def nll(log_shares, x):
    return -(log_shares * x).sum(1).mean() / 40


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    seed = ap.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    pace = torch.tensor([0.31, 0.57, 0.83, 1.13, 1.51, 1.97])
    tastes = torch.softmax(4 * torch.sin(pace[:, None] * torch.arange(ITEMS)), 1)
    train, val = baskets(6000, tastes, g), baskets(600, tastes, g)
    model = BasketVAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    update, anneal_steps = 0, 600
    for epoch in range(1, 21):
        model.train()
        for rows in torch.randperm(len(train), generator=g).split(100):
            x = train[rows]
            log_shares, mu, logvar = model(x)
            kl = 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1).mean()
            beta = min(0.02, update / anneal_steps)
            loss = nll(log_shares, x) + beta * kl
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            update += 1
        model.eval()
        with torch.no_grad():
            val_nll = nll(model(val)[0], val).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
