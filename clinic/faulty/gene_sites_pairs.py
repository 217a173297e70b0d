"""How strongly a protein binds to a stretch of a gene, from its letters, by a convolution.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Sites(nn.Module):
    def __init__(self):
        super().__init__()
        self.scan = nn.Sequential(nn.Conv1d(4, 32, 7, padding=3), nn.ReLU(), nn.Conv1d(32, 32, 5), nn.ReLU())
        self.head = nn.Linear(64, 1)

    def forward(self, x):
        h = self.scan(x)
        return self.head(torch.cat([h.amax(2), h.mean(2)], 1))


def stretches(n, motif):
    x = F.one_hot(torch.randint(4, (n, 40)), 4).float().transpose(1, 2)
    fit = F.conv1d(x, motif)
    y = fit.logsumexp(2).sum(1)
    return x, y


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    motif = torch.randn(2, 4, 6)
    x, y = stretches(4500, motif)
    y = (y - y.mean()) / y.std()
    x, val_x, y, val_y = x[:4000], x[4000:], y[:4000], y[4000:]
    model = Sites()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(1, 21):
        model.train()
        for rows in torch.randperm(len(x)).split(64):
            strength = model(x[rows])
            loss = (strength - y[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            error = (model(val_x).squeeze(1) - val_y).abs().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {error:.4f}")


main()
