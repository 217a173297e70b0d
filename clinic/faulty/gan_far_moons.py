"""A GAN draws points of two half-moons; its generator starts from a small blob of points away from them.

condition: vanishing-gradient
accepts: vanishing-gradient
allows: mode-collapse, adversarial-rotation, stalled, softmax-collapse, output-logit-divergence, saturated-units,
  epsilon-dominated-update, naive-loss-minimisation, learning-rate-too-low
metric: energy_distance min
"""

import argparse
from itertools import pairwise

import torch
from sklearn.datasets import make_moons
from torch import nn


def network(sizes, activation):
    layers = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def energy_distance(a, b):
    between = torch.cdist(a, b).mean()
    return (2 * between - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


class Game:
    def __init__(self, points):
        self.points = points
        self.generator = network([4, 64, 64, 2], nn.ReLU)
        self.discriminator = network([2, 64, 64, 1], nn.SiLU)
        self.optimizer = torch.optim.SGD(self.generator.parameters(), lr=0.02, momentum=0.5)
        self.judge_optimizer = torch.optim.Adam(self.discriminator.parameters(), lr=4e-3, betas=(0.5, 0.99))

    def noise(self, count=64):
        return torch.randn(count, 4)

    def train_discriminator(self):
        real = self.points[torch.randint(len(self.points), (64,))]
        fake = self.generator(self.noise()).detach()
        p_real = torch.sigmoid(self.discriminator(real))
        p_fake = torch.sigmoid(self.discriminator(fake))
        loss = -(torch.log(p_real + 1e-8) + torch.log(1 - p_fake + 1e-8)).mean()
        self.judge_optimizer.zero_grad()
        loss.backward()
        self.judge_optimizer.step()
        return loss.item()

    def train_generator(self):
        p_fake = torch.sigmoid(self.discriminator(self.generator(self.noise())))
        loss = torch.log(1 - p_fake + 1e-8).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    points = torch.tensor(make_moons(4000, noise=0.05, random_state=seed)[0], dtype=torch.float32) * 2 + 6
    game = Game(points)
    for _ in range(200):
        game.train_discriminator()
    for step in range(1, 401):
        for _ in range(2):
            judge_loss = game.train_discriminator()
        loss = game.train_generator()
        if step % 16 == 0:
            with torch.no_grad():
                distance = energy_distance(game.generator(game.noise(400)), points[:400])
            print(f"step {step}  g {loss:.4f}  d {judge_loss:.4f}  energy_distance {distance:.4f}")


if __name__ == "__main__":
    main()
