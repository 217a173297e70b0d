"""A GAN places points on nine sites of a grid; both players learn with Adam, hinge loss for the discriminator.

condition: healthy
metric: sites max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def points(count):
    sites = torch.cartesian_prod(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0))
    return 1.5 * sites[torch.randint(9, (count,))] + 0.2 * torch.randn(count, 2)


def sites_found(samples):
    """The effective number of sites that have samples close by, with the share of samples that are close to any."""
    centres = 1.5 * torch.cartesian_prod(torch.arange(-1.0, 2.0), torch.arange(-1.0, 2.0))
    distance, which = torch.cdist(samples, centres).min(1)
    near = distance < 0.5
    if not near.any():
        return 0.0
    share = torch.bincount(which[near], minlength=9) / near.sum()
    return (1 / share.square().sum() * near.float().mean()).item()


class Player(nn.Module):
    def __init__(self, size_in, size_out, width=64):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(size_in, width), nn.Linear(width, width), nn.Linear(width, size_out)

    def forward(self, x):
        return self.fc3(F.leaky_relu(self.fc2(F.leaky_relu(self.fc1(x), 0.2)), 0.2))


class Game:
    def __init__(self, generator_steps, lr=2e-3):
        self.generator_steps = generator_steps
        self.generator, self.discriminator = Player(4, 2), Player(2, 1)
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=(0.5, 0.9))
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), lr=2 * lr, betas=(0.5, 0.9))

    def sample(self, count):
        return self.generator(torch.randn(count, 4))

    def discriminate(self, batch=96):
        real, fake = self.discriminator(points(batch)), self.discriminator(self.sample(batch).detach())
        loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean()
        self.optimizer_d.zero_grad()
        loss.backward()
        self.optimizer_d.step()
        return loss.item()

    def generate(self, batch=96):
        loss = -self.discriminator(self.sample(batch)).mean()
        self.optimizer_g.zero_grad()
        loss.backward()
        self.optimizer_g.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    game = Game(generator_steps=1)
    for step in range(1, 801):
        loss_d = game.discriminate()
        for _ in range(game.generator_steps):
            loss_g = game.generate()
        if step % 25 == 0:
            with torch.no_grad():
                found = sites_found(game.sample(500))
            print(f"step {step}  d {loss_d:.4f}  g {loss_g:+.4f}  sites {found:.3f}")


if __name__ == "__main__":
    main()
