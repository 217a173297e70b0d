"""A GAN learns where a cloud of points lies: a small generator and a small discriminator, both with Adam.

condition: adversarial-rotation
accepts: adversarial-rotation
allows: mode-collapse
metric: distance min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

batch_size, latent = 64, 4


def cloud(size):
    return torch.randn(size, 2) * torch.tensor([0.4, 0.25]) + torch.tensor([1.5, -1.0])


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


generator = nn.Sequential(nn.Linear(latent, 24), nn.ReLU(), nn.Linear(24, 2))
discriminator = nn.Sequential(
    nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
)
g_optimizer = torch.optim.Adam(generator.parameters(), lr=4e-3)
d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=4e-3)
loss_fn = nn.BCEWithLogitsLoss()
ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
reference = cloud(500)

smooth = None
for step in range(1, 2001):
    real = cloud(batch_size)
    fake = generator(torch.randn(batch_size, latent))
    score = discriminator(real)
    d_loss = loss_fn(score, ones) + loss_fn(discriminator(fake.detach()), zeros)
    d_optimizer.zero_grad()
    d_loss.backward()
    d_optimizer.step()

    g_loss = loss_fn(discriminator(fake), ones)
    g_optimizer.zero_grad()
    g_loss.backward()
    g_optimizer.step()

    if step % 10 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(500, latent)), reference).item()
        smooth = distance if smooth is None else 0.8 * smooth + 0.2 * distance
    if step % 50 == 0:
        print(f"step {step}  d {d_loss.item():.3f}  g {g_loss.item():.3f}  distance {smooth:.4f}")
