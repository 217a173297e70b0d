"""A policy for the stocks of four linked depots, trained through a simulator over an ever longer horizon.

condition: healthy
metric: cost min
"""

import argparse

import torch
from torch import nn

DEPOTS = 4


class Depots:
    """Orders react to stocks at the neighbours; without control small gaps grow by a fifth each day."""

    def __init__(self):
        ring = torch.roll(torch.eye(DEPOTS), 1, 0)
        self.react = 1.2 * (0.9 * torch.eye(DEPOTS) + 0.3 * ring - 0.2 * ring.T)

    def day(self, stock, order, demand):
        return stock @ self.react.T + torch.sin(stock) * 0.3 + order + demand


class Policy(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(DEPOTS, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, DEPOTS)
        )

    def forward(self, stock):
        return 3 * torch.tanh(self.net(stock))


def rollout(policy, depots, stock, demand):
    cost = 0
    for news in demand:
        order = policy(stock)
        stock = depots.day(stock, order, news)
        cost = cost + (stock.square().sum(1) + 0.05 * order.square().sum(1)).mean()
    return cost / len(demand)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    scenes = lambda count, days: (
        0.7 * torch.randn(count, DEPOTS, generator=rng), 0.15 * torch.randn(days, count, DEPOTS, generator=rng)
    )  # fmt: skip
    depots, policy = Depots(), Policy()
    exam = scenes(300, 40)
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600, 1e-4)
    for step in range(1, 601):
        days = min(40, 4 + step // 12)
        loss = rollout(policy, depots, *scenes(32, days))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                cost = rollout(policy, depots, *exam).log1p().item()
            print(f"step {step}  days {days}  loss {loss.item():.4f}  cost {cost:.4f}")


main()
