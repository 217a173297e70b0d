"""Fronds of ferns in a space of their own: one proxy for each kind, drawn near by the fronds that are of it.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, learning-rate-too-high, unsafe-step, loss-spike, stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

KINDS = 12


def fronds(count, g, shape):
    """Outlines as 24 widths: a kind's shape, stretched and with its own wear."""
    kind = torch.randint(KINDS, (count,), generator=g)
    stretch = 1 + 0.15 * torch.randn(count, 1, generator=g)
    return shape[kind] * stretch + 0.55 * torch.randn(count, 24, generator=g), kind


class FrondEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(24, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 16))

    def forward(self, x):
        return F.normalize(self.layers(x), dim=1)


class ProxyLoss(nn.Module):
    def __init__(self, scale=4.0):
        super().__init__()
        self.proxies = nn.Parameter(0.25 * torch.randn(KINDS, 16))
        self.scale = scale

    def similarities(self, embedding):
        return self.scale * embedding @ self.proxies.T

    def forward(self, embedding, kind):
        return F.cross_entropy(self.similarities(embedding), kind)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    shape = torch.randn(KINDS, 24, generator=g).cumsum(1) * 0.35
    val_x, val_kind = fronds(1500, g, shape)

    encoder, criterion = FrondEncoder(), ProxyLoss()
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-3)
    proxy_optimizer = torch.optim.SGD(criterion.parameters(), lr=0.05)
    for step in range(1, 801):
        x, kind = fronds(64, g, shape)
        loss = criterion(encoder(x), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        proxy_optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                embedding = encoder(val_x)
                val_loss = criterion(embedding, val_kind).item()
                nearest = criterion.similarities(embedding).argmax(1)
            accuracy = (nearest == val_kind).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  val_accuracy {accuracy:.3f}")


main()
