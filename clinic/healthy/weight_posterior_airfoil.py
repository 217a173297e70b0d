"""Lift of an airfoil with error bars: a network with a Gaussian posterior over its weights.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


class BayesLinear(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.mean = nn.Parameter(torch.randn(outputs, inputs) / inputs**0.5)
        self.rho = nn.Parameter(torch.full((outputs, inputs), -4.0))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.prior = 1.0 / inputs**0.5

    def forward(self, x):
        std = F.softplus(self.rho)
        out = F.linear(x, self.mean, self.bias)
        return out + F.linear(x**2, std**2).clamp_min(1e-12).sqrt() * torch.randn_like(out)

    def divergence(self):
        std = F.softplus(self.rho)
        return (math.log(self.prior) - std.log() + (std**2 + self.mean**2) / (2 * self.prior**2) - 0.5).sum()


class Lift(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([BayesLinear(3, 40), BayesLinear(40, 40), BayesLinear(40, 1)])
        self.log_noise = nn.Parameter(torch.tensor(-0.5))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.tanh(layer(x))
        return self.layers[-1](x)[:, 0]

    def nll(self, mean, y):
        return 0.5 * ((y - mean) / self.log_noise.exp()) ** 2 + self.log_noise + 0.5 * math.log(2 * math.pi)

    def divergence(self):
        return sum(layer.divergence() for layer in self.layers)


def wind_tunnel(count, rng):
    attack, reynolds, camber = 2 * torch.rand(3, count, generator=rng) - 1
    stall = torch.sigmoid(6 * (attack - 0.5 - 0.2 * reynolds))
    lift = 1.4 * attack + 0.7 * camber + 0.3 * camber * attack - 1.3 * stall
    return torch.stack([attack, reynolds, camber], 1) * 1.7, lift + 0.08 * torch.randn(count, generator=rng)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, y = wind_tunnel(1000, rng)
    x_val, y_val = wind_tunnel(600, rng)
    model = Lift()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2000, eta_min=5e-5)
    for step in range(1, 2001):
        rows = torch.randint(len(x), (100,))
        fit = model.nll(model(x[rows]), y[rows]).mean() * len(x)
        price = model.divergence()
        loss = (fit + price) / len(x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            with torch.no_grad():
                draws = torch.stack([-model.nll(model(x_val), y_val) for _ in range(20)])
                nll = -(draws.logsumexp(0) - math.log(20)).mean().item()
            print(f"step {step}  fit {fit.item():.1f}  divergence {price.item():.1f}  val_nll {nll:.4f}")


if __name__ == "__main__":
    main()
