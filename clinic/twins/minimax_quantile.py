"""A generator shifts and stretches noise until a critic cannot tell it from measured pairs; momentum for both.

condition: healthy
metric: gap min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(2))
        self.spread = nn.Parameter(torch.eye(2))

    def forward(self, noise):
        return self.centre + noise @ self.spread


def measured(count):
    return torch.tensor([2.0, -1.5]) + torch.randn(count, 2) @ torch.tensor([[0.6, 0.3], [0.0, 0.5]])


def slope_penalty(critic, pairs):
    pairs = pairs.detach().requires_grad_()
    slope = torch.autograd.grad(critic(pairs).sum(), pairs, create_graph=True)[0]
    return slope.square().sum(1).mean()


def main(seed, steps=900, batch=128, weight=1.0):
    torch.manual_seed(seed)
    model = Shift()
    critic = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    critic_optimizer = torch.optim.SGD(critic.parameters(), lr=0.05, momentum=0.9)
    for step in range(1, steps + 1):
        real, fake = measured(batch), model(torch.randn(batch, 2))
        critic_loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake.detach())).mean()
        if weight:
            critic_loss = critic_loss + weight * slope_penalty(critic, real)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()

        loss = -F.softplus(critic(fake)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                gap = (model(torch.randn(1000, 2)).mean(0) - torch.tensor([2.0, -1.5])).norm()
            print(f"step {step}  critic {critic_loss.item():.4f}  loss {loss.item():.4f}  gap {gap.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
