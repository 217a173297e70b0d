"""A fully connected GAN draws 8x8 digits; hinge loss for the discriminator, spectral norm on its layers.

condition: healthy
metric: distance min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

images = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
latent, batch_size = 16, 64
noise_scale = 1.0


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


generator = nn.Sequential(nn.Linear(latent, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 64), nn.Tanh())
discriminator = nn.Sequential(
    spectral_norm(nn.Linear(64, 96)),
    nn.LeakyReLU(0.2),
    spectral_norm(nn.Linear(96, 96)),
    nn.LeakyReLU(0.2),
    spectral_norm(nn.Linear(96, 1)),
)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.99))
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))


def make(size):
    return generator(noise_scale * torch.randn(size, latent))


for step in range(1, 1001):
    real = images[torch.randint(len(images), (batch_size,))]
    fake = make(batch_size)
    d_loss = torch.relu(1 - discriminator(real)).mean() + torch.relu(1 + discriminator(fake.detach())).mean()
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    g_loss = -discriminator(fake).mean()
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()

    if step % 25 == 0:
        with torch.no_grad():
            distance = energy_distance(make(500), images[:500]).item()
        print(f"step {step}  d {d_loss.item():.3f}  g {g_loss.item():.3f}  distance {distance:.4f}")
