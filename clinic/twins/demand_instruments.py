"""Demand as a function of price, where prices react to demand: an estimator plays against a critic on cost shocks.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
rng = torch.Generator().manual_seed(args.seed)
torch.manual_seed(args.seed)


def market(n):
    shock = torch.rand(n, 1, generator=rng) * 4 - 2
    taste = torch.randn(n, 1, generator=rng)
    price = shock + 0.6 * taste + 0.2 * torch.randn(n, 1, generator=rng)
    return shock, price, demand(price) + taste


def demand(price):
    return -1.2 * price + 0.8 * torch.sin(1.5 * price)


def features(x, count=5):
    """Smooth bumps over the range of x, orthonormal for practical purposes."""
    centres = torch.linspace(-2, 2, count)
    return torch.exp(-1.5 * (x - centres).square())


estimator = nn.Linear(5, 1)
critic = nn.Linear(5, 1)
optimizer = torch.optim.SGD(estimator.parameters(), lr=0.1)
critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.1, maximize=True)
shock, price, sold = market(4000)
grid = torch.linspace(-2, 2, 81).unsqueeze(1)

for step in range(1, 601):
    rows = torch.randint(4000, (256,), generator=rng)
    residual = sold[rows] - estimator(features(price[rows]))
    test_function = critic(features(shock[rows]))
    moment = (residual * test_function).mean() - 0.5 * test_function.square().mean()
    optimizer.zero_grad()
    critic_optimizer.zero_grad()
    moment.backward()
    optimizer.step()
    critic_optimizer.step()
    if step % 15 == 0:
        with torch.no_grad():
            error = (estimator(features(grid)) - demand(grid)).square().mean().sqrt().item()
        print(f"step {step}  moment {moment.item():.4f}  error {error:.4f}")
