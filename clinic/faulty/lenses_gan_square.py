"""A GAN of how spectacle lenses are ordered: strength left, strength right and cylinder, in five groups of people.

condition: mode-collapse
accepts: mode-collapse
allows: adversarial-rotation, vanishing-gradient, stalled, saturated-units, loss-spike, learning-rate-too-high
metric: distance min
"""

import argparse

import torch
from torch import nn


def orders(count):
    centres = torch.tensor([[-2.0, -2.0, 0.5], [2.0, 2.0, 0.2], [-2.0, 1.5, 1.2], [1.5, -2.0, -1.0], [0.0, 0.0, 0.0]])
    group = torch.randint(5, (count,))
    return centres[group] + 0.18 * torch.randn(count, 3)


class Player(nn.Module):
    def __init__(self, inputs, outputs, width=64):
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, width)
        self.last = nn.Linear(width, outputs)

    def forward(self, x):
        x = nn.functional.leaky_relu(self.first(x), 0.2)
        return self.last(nn.functional.leaky_relu(self.second(x), 0.2))


class Game:
    def __init__(self, latent=6, batch_size=64):
        self.latent, self.batch_size = latent, batch_size
        self.generator, self.discriminator = Player(latent, 3), Player(3, 1)
        self.g_optimizer = torch.optim.Adam(self.generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
        self.d_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.99))
        self.d_steps, self.g_steps = 1, 8

    def sample(self, count):
        return self.generator(torch.randn(count, self.latent))

    def discriminator_step(self):
        real, fake = orders(self.batch_size), self.sample(self.batch_size).detach()
        loss = ((self.discriminator(real) - 1) ** 2).mean() + (self.discriminator(fake) ** 2).mean()
        self.d_optimizer.zero_grad()
        loss.backward()
        self.d_optimizer.step()
        return loss.item()

    def generator_step(self):
        loss = ((self.discriminator(self.sample(self.batch_size)) - 1) ** 2).mean()
        self.g_optimizer.zero_grad()
        loss.backward()
        self.g_optimizer.step()
        return loss.item()

    def round(self):
        d = [self.discriminator_step() for _ in range(self.d_steps)]
        g = [self.generator_step() for _ in range(self.g_steps)]
        return sum(d) / len(d), sum(g) / len(g)


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    game, reference = Game(), orders(500)
    for step in range(1, 601):
        d, g = game.round()
        if step % 20 == 0:
            with torch.no_grad():
                distance = energy_distance(game.sample(500), reference).item()
            print(f"step {step}  d {d:.3f}  g {g:.3f}  distance {distance:.4f}")
