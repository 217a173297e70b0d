"""A GAN on a ring of eight Gaussians with the non-saturating loss; the two losses swing against each other throughout.

condition: healthy
metric: distance min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

angles = torch.arange(8) * (2 * math.pi / 8)
centres = 2.0 * torch.stack([angles.cos(), angles.sin()], dim=1)


def real_batch(size):
    return centres[torch.randint(8, (size,))] + 0.15 * torch.randn(size, 2)


def energy_distance(a, b):
    cross = torch.cdist(a, b).mean()
    return 2 * cross - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


def network(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


latent, batch_size = 8, 128
generator, discriminator = network(latent, 2), network(2, 1)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.999))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.999))
loss_fn = nn.BCEWithLogitsLoss()
ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
reference = real_batch(1000)

for step in range(1, 1501):
    real = real_batch(batch_size)
    fake = generator(torch.randn(batch_size, latent))
    d_loss = loss_fn(discriminator(real), ones) + loss_fn(discriminator(fake.detach()), zeros)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    g_loss = loss_fn(discriminator(fake), ones)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()

    if step % 50 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(1000, latent)), reference).item()
        print(f"step {step}  d {d_loss.item():.3f}  g {g_loss.item():.3f}  distance {distance:.4f}")
