"""A GAN makes daily load curves of six kinds of buildings, twelve values a day.

condition: healthy
metric: missing min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

HOURS = torch.arange(12) / 12


def kinds():
    peaks = torch.tensor([0.15, 0.3, 0.45, 0.6, 0.75, 0.9])
    return 2 * torch.exp(-0.5 * ((HOURS - peaks[:, None]) / 0.08) ** 2) + 0.3 * torch.sin(2 * math.pi * HOURS)


def days(count):
    return kinds()[torch.randint(6, (count,))] + 0.1 * torch.randn(count, 12)


class Player(nn.Sequential):
    def __init__(self, size_in, size_out, width=64):
        super().__init__(
            nn.Linear(size_in, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, size_out),
        )


class GanTrainer:
    def __init__(self, noise=16, generator_steps=1):
        self.noise, self.generator_steps = noise, generator_steps
        self.model, self.critic = Player(noise, 12), Player(12, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=2e-3, betas=(0.5, 0.99))
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=2e-3, betas=(0.5, 0.99))

    def sample(self, count):
        return self.model(torch.randn(count, self.noise))

    def train_critic(self, real):
        real = real.requires_grad_()
        on_real, on_fake = self.critic(real), self.critic(self.sample(len(real)).detach())
        loss = F.softplus(-on_real).mean() + F.softplus(on_fake).mean()
        slope = torch.autograd.grad(on_real.sum(), real, create_graph=True)[0]
        loss = loss + 0.05 * slope.square().sum(1).mean()
        self.critic_optimizer.zero_grad()
        loss.backward()
        self.critic_optimizer.step()
        return loss.item()

    def train_generator(self, count):
        loss = F.softplus(-self.critic(self.sample(count))).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def step(self, real):
        critic_loss = self.train_critic(real)
        for _ in range(self.generator_steps):
            loss = self.train_generator(len(real))
        return critic_loss, loss


@torch.no_grad()
def missing(samples):
    """How far the generated shares of the six kinds are from a sixth each, plus what fits no kind."""
    distance, nearest = torch.cdist(samples, kinds()).min(1)
    good = nearest[distance < 1.2]
    share = torch.bincount(good, minlength=6) / len(samples)
    return (1 / 6 - share).clamp_min(0).sum().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
trainer = GanTrainer()
for step in range(1, 701):
    critic_loss, loss = trainer.step(days(48))
    if step % 25 == 0:
        print(
            f"step {step}  critic {critic_loss:.3f}  generator {loss:.3f}  missing {missing(trainer.sample(600)):.3f}"
        )
