"""Logs of sandstone cores from a GAN: six beddings, each with its own spacing and dip of the layers.

condition: mode-collapse
accepts: mode-collapse
allows: adversarial-rotation, divergence, stalled, loss-spike, vanishing-gradient, saturated-units
metric: bedding_gap min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

N, BEDDINGS = 24, 6


def prototypes():
    z = torch.linspace(0, 1, N)
    rows = []
    for spacing in (1.5, 3.0, 5.0):
        for trend in (-1.2, 1.2):
            rows.append(torch.sin(2 * math.pi * spacing * z) + trend * (z - 0.5) * 2)
    return torch.stack(rows)


def cores(n, table):
    return table[torch.randint(BEDDINGS, (n,))] + 0.15 * torch.randn(n, N)


def mlp(sizes, act):
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), act()]
    return nn.Sequential(*layers[:-1])


class GAN:
    def __init__(self, table):
        self.table = table
        self.g = mlp([16, 96, 96, N], nn.ReLU)
        self.d = mlp([N, 96, 96, 1], lambda: nn.LeakyReLU(0.2))
        self.opt_g = torch.optim.Adam(self.g.parameters(), lr=5e-4, betas=(0.5, 0.99))
        self.opt_d = torch.optim.Adam(self.d.parameters(), lr=1e-3, betas=(0.5, 0.99))

    def discriminator_step(self, n=64):
        real, fake = cores(n, self.table), self.g(torch.randn(n, 16)).detach()
        real.requires_grad_()
        score = self.d(real)
        slope = torch.autograd.grad(score.sum(), real, create_graph=True)[0]
        loss = F.softplus(-score).mean() + F.softplus(self.d(fake)).mean() + 0.3 * slope.square().sum(1).mean()
        self.opt_d.zero_grad()
        loss.backward()
        self.opt_d.step()
        return loss.item()

    def generator_step(self, n=64):
        loss = F.softplus(-self.d(self.g(torch.randn(n, 16)))).mean()
        self.opt_g.zero_grad()
        loss.backward()
        self.opt_g.step()
        return loss.item()

    @torch.no_grad()
    def bedding_gap(self, n=1000):
        """How far the shares of the beddings are from equal, and the samples from their bedding."""
        made = self.g(torch.randn(n, 16))
        off, which = torch.cdist(made, self.table).min(1)
        share = torch.bincount(which, minlength=BEDDINGS) / n
        return (share - 1 / BEDDINGS).abs().sum().item() + off.mean().item() / math.sqrt(N)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    gan = GAN(prototypes())
    for step in range(1, 1001):
        d_loss = gan.discriminator_step()
        for _ in range(1 if step <= 400 else 12):
            g_loss = gan.generator_step()
        if step % 40 == 0:
            print(f"step {step}  d_loss {d_loss:.4f}  g_loss {g_loss:.4f}  bedding_gap {gan.bedding_gap():.4f}")


main()
