"""A small GAN learns two concentric rings of points.

condition: healthy
metric: distance min
"""

import argparse
import math

import torch
from torch import nn

NOISE, BATCH = 4, 128


def rings(size):
    radius = torch.where(torch.rand(size) < 0.5, 0.5, 1.0)
    angle = 2 * math.pi * torch.rand(size)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1) + 0.02 * torch.randn(size, 2) + 1.0


def mlp(inputs, outputs, width=48):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


def distance(a, b):
    """Mean over 32 directions of how far the sorted projections of two sets of points are apart."""
    angle = torch.arange(32) * math.pi / 32
    directions = torch.stack([angle.cos(), angle.sin()])
    return ((a @ directions).sort(0).values - (b @ directions).sort(0).values).abs().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

generator, discriminator = mlp(NOISE, 2), mlp(2, 1)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.99))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-3, betas=(0.5, 0.99))
loss_fn = nn.BCEWithLogitsLoss()
real_label, fake_label = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)

for step in range(1, 601):
    fake = generator(torch.randn(BATCH, NOISE))
    d_loss = loss_fn(discriminator(rings(BATCH)), real_label) + loss_fn(discriminator(fake.detach()), fake_label)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    g_loss = loss_fn(discriminator(fake), real_label)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            apart = distance(generator(torch.randn(1000, NOISE)), rings(1000))
        print(f"step {step}  d_loss {d_loss.item():.4f}  g_loss {g_loss.item():.4f}  distance {apart:.4f}")
