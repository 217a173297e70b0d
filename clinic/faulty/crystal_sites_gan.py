"""Nine sites of a crystal plane: a generator learns to place atoms where the critic expects them.

condition: mode-collapse
accepts: mode-collapse
allows: divergence, stalled, detached-parameters, frozen-parameters, loss-spike, adversarial-rotation, unsafe-step,
  learning-rate-too-high
metric: distance min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def atoms(count):
    site = torch.cartesian_prod(torch.arange(3.0), torch.arange(3.0)) - 1
    return site[torch.randint(9, (count,))] * 1.2 + 0.08 * torch.randn(count, 2)


def mlp(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.1),
        nn.Linear(width, width),
        nn.LeakyReLU(0.1),
        nn.Linear(width, outputs),
    )


def energy_distance(a, b):
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


def critic_loss(critic, real, fake):
    real = real.requires_grad_(True)
    verdict = critic(real)
    slope = torch.autograd.grad(verdict.sum(), real, create_graph=True)[0].square().sum(1).mean()
    return F.softplus(-verdict).mean() + F.softplus(critic(fake)).mean() + 0.05 * slope


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
generator, critic = mlp(4, 2), mlp(2, 1)
generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
critic_optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.99))
real_test = atoms(1000)
steps, critic_until = 1500, 600

for step in range(1, steps + 1):
    if step <= critic_until:
        loss = critic_loss(critic, atoms(128), generator(torch.randn(128, 4)).detach())
        critic_optimizer.zero_grad()
        loss.backward()
        critic_optimizer.step()
    fooled = F.softplus(-critic(generator(torch.randn(128, 4)))).mean()
    generator_optimizer.zero_grad()
    fooled.backward()
    generator_optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(1000, 4)), real_test)
        print(f"step {step}  loss {fooled.item():.4f}  distance {distance:.4f}")
