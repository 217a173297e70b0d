"""A GAN draws pairs of backbone angles of a protein: a few basins of the Ramachandran map.

condition: mode-collapse
accepts: mode-collapse, adversarial-rotation
metric: distance min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

# phi, psi, spread, weight
BASINS = torch.tensor(
    [
        [-63, -43, 12, 0.34],
        [-120, 135, 18, 0.26],
        [-70, 147, 14, 0.20],
        [57, 43, 10, 0.08],
        [-90, 0, 14, 0.07],
        [75, -165, 14, 0.05],
    ]
)


def measured(count):
    basin = BASINS[torch.multinomial(BASINS[:, 3], count, replacement=True)]
    degrees = basin[:, :2] + basin[:, 2:3] * torch.randn(count, 2)
    return degrees * torch.pi / 180


def on_torus(angles):
    return torch.cat([angles.cos(), angles.sin()], 1)


def histogram(angles, bins=18):
    place = ((angles / (2 * torch.pi)) % 1 * bins).long().clamp(0, bins - 1)
    counts = torch.bincount(place[:, 0] * bins + place[:, 1], minlength=bins * bins).float()
    return counts / counts.sum()


class Generator(nn.Module):
    def __init__(self, noise=8, width=96):
        super().__init__()
        self.noise = noise
        self.net = nn.Sequential(
            nn.Linear(noise, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, 4)
        )

    def forward(self, count):
        out = self.net(torch.randn(count, self.noise)).view(count, 2, 2)
        out = F.normalize(out, dim=1)
        return torch.cat([out[:, 0], out[:, 1]], 1)


def angles_of(point):
    return torch.atan2(point[:, 2:], point[:, :2])


class Game:
    def __init__(self, generator_steps=6, batch=128):
        self.generator_steps, self.batch = generator_steps, batch
        self.generator = Generator()
        self.critic = nn.Sequential(
            nn.Linear(4, 128), nn.LeakyReLU(0.2), nn.Linear(128, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)
        )
        self.opt_g = torch.optim.Adam(self.generator.parameters(), lr=5e-4, betas=(0.5, 0.9))
        self.opt_c = torch.optim.Adam(self.critic.parameters(), lr=5e-4, betas=(0.5, 0.9))

    def round(self):
        real = on_torus(measured(self.batch)).requires_grad_()
        fake = self.generator(self.batch).detach()
        score = self.critic(real)
        (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        loss_c = F.softplus(-score).mean() + F.softplus(self.critic(fake)).mean()
        loss_c = loss_c + 0.1 * slope.square().sum(1).mean()
        self.opt_c.zero_grad()
        loss_c.backward()
        self.opt_c.step()
        for _ in range(self.generator_steps):
            loss_g = F.softplus(-self.critic(self.generator(self.batch))).mean()
            self.opt_g.zero_grad()
            loss_g.backward()
            self.opt_g.step()
        return loss_c.item(), loss_g.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    truth = histogram(measured(200_000))
    game = Game()
    for step in range(1, 601):
        loss_c, loss_g = game.round()
        if step % 20 == 0:
            with torch.no_grad():
                drawn = histogram(angles_of(game.generator(4000)))
            distance = (drawn - truth).abs().sum().item() / 2
            print(f"step {step}  critic {loss_c:.4f}  generator {loss_g:.4f}  distance {distance:.4f}")
