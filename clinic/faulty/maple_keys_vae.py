"""Outlines of maple keys: a VAE whose divergence is switched on little by little.

condition: posterior-collapse
accepts: posterior-collapse, loss-term-imbalance
allows: loss-term-imbalance, stalled, divergence
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

POINTS, LATENT = 40, 6


def outlines(count):
    angle = 2 * math.pi * torch.arange(POINTS) / POINTS
    long, bent, nut = 0.5 * torch.randn(3, count, 1)
    turn = 0.4 * torch.randn(count, 1)
    radius = 1 + (0.5 + long) * torch.cos(angle - turn) + 0.5 * bent * torch.sin(2 * angle)
    radius = radius + 0.6 * nut * torch.exp(2 * torch.cos(angle + 2) - 2)
    return radius - 1 + 0.05 * torch.randn(count, POINTS)


class VAE(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(POINTS, width), nn.SiLU(), nn.Linear(width, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, width), nn.SiLU(), nn.Linear(width, POINTS))

    def forward(self, x):
        mean, log_var = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * torch.exp(0.5 * log_var)
        miss = (self.decoder(z) - x).square().sum(1) / (2 * 0.15**2)
        divergence = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1)
        return miss.mean(), divergence.mean()


class Trainer:
    def __init__(self, model, rate=2e-3):
        self.model, self.steps = model, 0
        self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    @property
    def beta(self):
        return self.steps / 50

    def epoch(self, data):
        for rows in torch.randperm(len(data)).split(100):
            miss, divergence = self.model(data[rows])
            loss = miss + self.beta * divergence
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.steps += 1
        return loss.item()

    @torch.no_grad()
    def bound(self, data):
        return sum(self.model(data)).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
data, val = outlines(6000), outlines(1500)
trainer = Trainer(VAE())
for epoch in range(1, 31):
    loss = trainer.epoch(data)
    print(f"epoch {epoch}  loss {loss:.3f}  val_loss {trainer.bound(val):.3f}")
