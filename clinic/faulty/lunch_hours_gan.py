"""Guests of a canteen, when they come and how long they stay, from a generator that plays against a critic.

condition: mode-collapse
accepts: mode-collapse
allows: divergence, loss-spike, adversarial-rotation, frozen-parameters, stalled, dead-units, saturated-units
metric: distance min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def guests(count):
    """Early shift, office people, the late ones and those who only fetch a coffee."""
    hour = torch.tensor([-1.2, -0.1, 1.2, 0.4])
    stay = torch.tensor([-0.6, 0.9, 0.2, -1.4])
    kind = torch.multinomial(torch.tensor([0.25, 0.35, 0.2, 0.2]), count, replacement=True)
    middle = torch.stack([hour[kind], stay[kind]], 1)
    return middle + torch.tensor([0.14, 0.18]) * torch.randn(count, 2)


def mlp(enter, leave, act):
    return nn.Sequential(nn.Linear(enter, 64), act, nn.Linear(64, 64), act, nn.Linear(64, leave))


@torch.no_grad()
def distance(generator, real):
    """Energy distance between what the generator makes and the held-out guests."""
    fake = generator(torch.randn(len(real), 8))
    return (2 * torch.cdist(fake, real).mean() - torch.cdist(fake, fake).mean() - torch.cdist(real, real).mean()).item()


held = guests(1000)
generator = mlp(8, 2, nn.ReLU())
critic = mlp(2, 1, nn.LeakyReLU(0.2))
g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
d_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
average = mlp(8, 2, nn.ReLU())
average.load_state_dict(generator.state_dict())


def critic_step():
    real = guests(128).requires_grad_()
    fake = generator(torch.randn(128, 8)).detach()
    on_real = critic(real)
    slope = torch.autograd.grad(on_real.sum(), real, create_graph=True)[0]
    penalty = slope.square().sum(1).mean()
    loss = F.softplus(-on_real).mean() + F.softplus(critic(fake)).mean() + 0.1 * penalty
    d_optimizer.zero_grad()
    loss.backward()
    d_optimizer.step()
    return loss.item()


def generator_step():
    loss = F.softplus(-critic(generator(torch.randn(128, 8)))).mean()
    g_optimizer.zero_grad()
    loss.backward()
    g_optimizer.step()
    with torch.no_grad():
        for slow, fast in zip(average.parameters(), generator.parameters(), strict=True):
            slow.lerp_(fast, 0.02)
    return loss.item()


d_loss = 0.0
for step in range(1, 2001):
    if step <= 1200:
        d_loss = critic_step()
    g_loss = generator_step()
    if step % 80 == 0:
        print(f"step {step}  d_loss {d_loss:.3f}  g_loss {g_loss:.3f}  distance {distance(average, held):.4f}")
