"""A GAN on the points of a spiral; generator and discriminator have rates of their own.

condition: mode-collapse
accepts: mode-collapse
allows: adversarial-rotation
metric: distance min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

latent, batch_size = 6, 64


def spiral(size):
    turn = 1.0 + 8.0 * torch.rand(size).sqrt()
    points = torch.stack([turn.cos(), turn.sin()], dim=1) * turn[:, None] / 5
    return points + 0.05 * torch.randn(size, 2)


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


def mlp(inputs, outputs):
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs)
    )


generator, discriminator = mlp(latent, 2), mlp(2, 1)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-2)
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=2e-4)
loss_fn = nn.BCEWithLogitsLoss()
ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
reference = spiral(500)

for step in range(1, 2201):
    fake = generator(torch.randn(batch_size, latent))
    d_loss = loss_fn(discriminator(spiral(batch_size)), ones) + loss_fn(discriminator(fake.detach()), zeros)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    g_loss = loss_fn(discriminator(fake), ones)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()

    if step % 55 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(500, latent)), reference).item()
        print(f"step {step}  d {d_loss.item():.3f}  g {g_loss.item():.3f}  distance {distance:.4f}")
