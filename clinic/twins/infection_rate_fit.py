"""The contact rate of an epidemic as a small network of season and mobility, fitted through the equations of spread.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

DAYS = 60


class ContactRate(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, day, mobility):
        x = torch.stack([torch.sin(2 * math.pi * day / 60), torch.cos(2 * math.pi * day / 60), mobility], -1)
        return 0.25 * nn.functional.softplus(self.net(x).squeeze(-1) + 0.5)


def spread(rate, seeds, mobility, recovery=0.12):
    """Euler steps of one day; the logarithm of the infected share of every town."""
    infected, susceptible = seeds, 1 - seeds
    path = []
    for day in range(DAYS):
        new = rate(torch.full_like(seeds, float(day)), mobility[:, day]) * infected * susceptible
        infected, susceptible = infected + new - recovery * infected, susceptible - new
        path.append(infected.log())
    return torch.stack(path, 1)


def wave(strength, towns, gen):
    seeds = 10 ** (-3 + torch.rand(towns, generator=gen))
    drift = torch.cumsum(torch.randn(towns, DAYS, generator=gen), 1) / 6
    mobility = torch.tanh(drift)

    def true_rate(day, mob):
        return strength * (0.2 + 0.08 * torch.cos(2 * math.pi * day / 60) + 0.1 * mob)

    curve = spread(true_rate, seeds, mobility)
    return seeds, mobility, curve + 0.05 * torch.randn(towns, DAYS, generator=gen)


def fit(model, data, test, lr, steps, start):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    loss_fn = nn.MSELoss()
    seeds, mobility, curve = data
    for step in range(start + 1, start + steps + 1):
        pick = torch.randint(len(seeds), (24,))
        loss = loss_fn(spread(model, seeds[pick], mobility[pick]), curve[pick])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                error = loss_fn(spread(model, test[0], test[1]), test[2]).sqrt().item()
            print(f"step {step}  loss {loss.item():.5f}  error {error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    first, test_first = wave(1.0, 200, gen), wave(1.0, 60, gen)
    second, test_second = wave(1.5, 200, gen), wave(1.5, 60, gen)
    model = ContactRate()
    fit(model, first, test_first, 3e-3, 100, 0)
    fit(model, second, test_second, 3e-3, 150, 100)


main()
