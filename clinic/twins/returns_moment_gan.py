"""A generator of daily returns of five assets against a quadratic critic with a gradient penalty.

condition: healthy
metric: distance min
"""

import argparse

import torch
from torch import nn


class Market:
    def __init__(self, rng, assets=5):
        self.mix = torch.randn(assets, assets, generator=rng) / assets**0.5
        self.drift = torch.randn(assets, generator=rng)
        self.rng = rng

    def days(self, n):
        return self.drift + torch.randn(n, len(self.drift), generator=self.rng) @ self.mix.T


class Critic(nn.Module):
    """u·x + xᵀ U x"""

    def __init__(self, assets):
        super().__init__()
        self.u = nn.Parameter(torch.zeros(assets))
        self.U = nn.Parameter(torch.zeros(assets, assets))

    def forward(self, x):
        return x @ self.u + ((x @ self.U) * x).sum(1)


def penalty(critic, x):
    x = x.detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return slope.square().sum(1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    market = Market(torch.Generator().manual_seed(seed))
    generator, critic = nn.Linear(5, 5), Critic(5)
    g_opt = torch.optim.SGD(generator.parameters(), lr=0.05)
    c_opt = torch.optim.SGD(critic.parameters(), lr=0.05)
    steps = 1500
    for step in range(1, steps + 1):
        weight = 0.5
        real = market.days(256)
        fake = generator(torch.randn(256, 5))
        c_loss = critic(fake.detach()).mean() - critic(real).mean() + weight * penalty(critic, real)
        g_loss = -critic(fake).mean()
        c_opt.zero_grad()
        c_loss.backward()
        g_opt.zero_grad()
        g_loss.backward(inputs=list(generator.parameters()))
        c_opt.step()
        g_opt.step()
        if step % 50 == 0:
            with torch.no_grad():
                drift = (generator.bias - market.drift).norm()
                spread = (generator.weight @ generator.weight.T - market.mix @ market.mix.T).norm()
            distance = (drift + spread).item()
            print(f"step {step}  critic {c_loss.item():.4f}  generator {g_loss.item():.4f}  distance {distance:.4f}")


if __name__ == "__main__":
    main()
