"""A generator of delivery addresses around seven depots, for the tests of a route planner.

condition: mode-collapse
accepts: mode-collapse
allows: divergence, stalled, frozen-parameters, detached-parameters, optimizer-misses-parameters, loss-spike
metric: distance min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def addresses(n, rng):
    depot = torch.randint(0, 7, (n,), generator=rng)
    angle = 2 * math.pi * depot / 7
    centre = torch.stack([angle.cos(), angle.sin()], 1) * 1.5
    return centre + 0.12 * torch.randn(n, 2, generator=rng)


def net(inputs, outputs, width=96):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


class Game:
    def __init__(self):
        self.generator, self.critic = net(8, 2), net(2, 1)
        self.g_opt = torch.optim.Adam(self.generator.parameters(), lr=3e-4, betas=(0.5, 0.99))
        self.c_opt = torch.optim.Adam(self.critic.parameters(), lr=6e-4, betas=(0.5, 0.99))

    def critic_step(self, real):
        real = real.requires_grad_(True)
        fake = self.generator(torch.randn(len(real), 8)).detach()
        on_real = self.critic(real)
        (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
        loss = F.softplus(-on_real).mean() + F.softplus(self.critic(fake)).mean() + 0.1 * slope.square().sum(1).mean()
        self.c_opt.zero_grad()
        loss.backward()
        self.c_opt.step()
        return loss.item()

    def generator_step(self, n):
        loss = F.softplus(-self.critic(self.generator(torch.randn(n, 8)))).mean()
        self.g_opt.zero_grad()
        loss.backward()
        self.g_opt.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    game, exam = Game(), addresses(600, rng)
    for step in range(1, 1801):
        if step <= 900:
            c_loss = game.critic_step(addresses(128, rng))
        g_loss = game.generator_step(128)
        if step % 60 == 0:
            with torch.no_grad():
                distance = energy_distance(game.generator(torch.randn(600, 8)), exam).item()
            print(f"step {step}  critic {c_loss:.4f}  generator {g_loss:.4f}  distance {distance:.4f}")


main()
