"""A GAN makes readings of two sensors that have nine joint operating points.

condition: scheduler-misuse
accepts: scheduler-misuse, mode-collapse
allows: adversarial-rotation, mode-collapse, stalled, dead-units, divergence
metric: distance min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def readings(n):
    point = torch.randint(3, (n, 2)).float() - 1
    return 1.5 * point + 0.15 * torch.randn(n, 2)


def mlp(inputs, outputs, width=96):
    first, second = nn.Linear(inputs, width), nn.Linear(width, width)
    return nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), nn.Linear(width, outputs))


def energy_distance(a, b):
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


class Game:
    def __init__(self, rounds, per_round):
        self.generator, self.critic = mlp(8, 2), mlp(2, 1)
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self.d_optimizer = torch.optim.Adam(self.critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self.d_schedule = torch.optim.lr_scheduler.ExponentialLR(self.d_optimizer, 0.96)
        self.g_schedule = torch.optim.lr_scheduler.ExponentialLR(self.g_optimizer, 0.96)
        self.rounds, self.per_round = rounds, per_round

    def noise(self, n):
        return torch.randn(n, 8)

    def critic_step(self, real):
        real.requires_grad_(True)
        judged = self.critic(real)
        slope = torch.autograd.grad(judged.sum(), real, create_graph=True)[0]
        fake = self.critic(self.generator(self.noise(len(real))).detach())
        loss = F.softplus(-judged).mean() + F.softplus(fake).mean() + 0.1 * slope.square().sum(1).mean()
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        self.d_schedule.step()

    def generator_step(self, n):
        loss = F.softplus(-self.critic(self.generator(self.noise(n)))).mean()
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        return loss.item()

    def play(self):
        for r in range(1, self.rounds + 1):
            for _ in range(self.per_round):
                self.critic_step(readings(128))
                loss = self.generator_step(128)
            self.g_schedule.step()
            with torch.no_grad():
                gap = energy_distance(self.generator(self.noise(600)), readings(600))
            print(f"epoch {r}  loss {loss:.4f}  distance {gap:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    Game(rounds=30, per_round=40).play()
