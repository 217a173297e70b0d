"""A convolutional GAN of bursts of sound: four pitches, struck early or late, twenty-four samples each.

condition: healthy
metric: missing min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

LENGTH, PITCHES = 24, 4


def bursts(n, rng):
    pitch = torch.randint(PITCHES, (n, 1), generator=rng)
    t = torch.arange(LENGTH)
    phase = torch.rand(n, 1, generator=rng) - 0.5
    window = torch.sin(math.pi * (t + 0.5) / LENGTH)
    return 0.9 * window * torch.sin(2 * math.pi * (pitch + 1) * t / LENGTH + phase)


def generator(noise=12, width=96):
    return nn.Sequential(
        nn.Linear(noise, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, LENGTH), nn.Tanh()
    )


class Discriminator(nn.Module):
    """Looks at the burst and at what changes along it."""

    def __init__(self, width=96):
        super().__init__()
        self.filters = spectral_norm(nn.Conv1d(1, 16, 5, stride=2, padding=2))
        self.hidden = spectral_norm(nn.Linear(16 * LENGTH // 2 + LENGTH, width))
        self.out = spectral_norm(nn.Linear(width, 1))

    def forward(self, x):
        seen = nn.functional.leaky_relu(self.filters(x.unsqueeze(1)), 0.2).flatten(1)
        return self.out(nn.functional.leaky_relu(self.hidden(torch.cat([seen, x], dim=1)), 0.2))


class WaveGAN:
    def __init__(self, rng, batch=64):
        self.rng, self.batch = rng, batch
        self.generator, self.discriminator = generator(), Discriminator()
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=2e-3, betas=(0.5, 0.9))

    def noise(self, n):
        return torch.randn(n, 12, generator=self.rng)

    def step(self):
        real, fake = bursts(self.batch, self.rng), self.generator(self.noise(self.batch))
        d_loss = (1 - self.discriminator(real)).relu().mean() + (1 + self.discriminator(fake.detach())).relu().mean()
        self.d_optimizer.zero_grad()
        d_loss.backward()
        self.d_optimizer.step()
        g_loss = -self.discriminator(self.generator(self.noise(self.batch))).mean()
        self.g_optimizer.zero_grad()
        g_loss.backward()
        self.g_optimizer.step()
        return d_loss.item(), g_loss.item()

    @torch.no_grad()
    def missing(self, real):
        """How far real bursts are from the nearest of as many made ones, on average."""
        fake = self.generator(self.noise(len(real)))
        return torch.cdist(real, fake).min(1).values.mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
rng = torch.Generator().manual_seed(seed)
gan, test = WaveGAN(rng), bursts(256, rng)
for step in range(1, 421):
    d_loss, g_loss = gan.step()
    if step % 14 == 0:
        print(f"step {step}  d_loss {d_loss:.3f}  g_loss {g_loss:.3f}  missing {gan.missing(test):.3f}")
