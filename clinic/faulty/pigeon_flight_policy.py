"""Pigeons choose one of ten lofts by the wind: REINFORCE on a contextual bandit with pays above zero.

condition: softmax-collapse
accepts: softmax-collapse, learning-rate-too-high
allows: learning-rate-too-high, unsafe-step, stalled, zero-variance-groups, saturated-units, vanishing-gradient,
  dead-units, loss-spike, divergence, epsilon-dominated-update, naive-loss-minimisation
metric: reward max
"""

import argparse

import torch
from torch import nn


class Lofts:
    def __init__(self, lofts=10, winds=6):
        self.taste = torch.randn(winds, lofts)

    def winds(self, count):
        return torch.randn(count, len(self.taste))

    def pay(self, wind, loft):
        return torch.sigmoid((wind @ self.taste).gather(1, loft[:, None]).squeeze(1)) + 0.1 * torch.randn(len(loft))


def main(seed):
    torch.manual_seed(seed)
    world = Lofts()
    policy = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-2)
    baseline = 0.0
    test = world.winds(1000)
    for step in range(1, 801):
        wind = world.winds(64)
        choice = torch.distributions.Categorical(logits=policy(wind))
        loft = choice.sample()
        pay = world.pay(wind, loft)
        loss = -(pay * choice.log_prob(loft)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        baseline = 0.9 * baseline + 0.1 * pay.mean().item()
        if step % 25 == 0:
            with torch.no_grad():
                picked = torch.distributions.Categorical(logits=policy(test)).sample()
                reward = world.pay(test, picked).mean().item()
            print(f"step {step}  loss {loss.item():+.4f}  reward {reward:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
