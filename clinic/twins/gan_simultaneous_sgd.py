"""A Wasserstein game: a generator turns noise into correlated pairs, a quadratic critic scores them; momentum SGD.

condition: healthy
metric: distance min
"""

import argparse

import torch
from torch import nn


class Affine(nn.Module):
    """y = z A' + b"""

    def __init__(self):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(0.7 * torch.eye(2)), nn.Parameter(torch.zeros(2))

    def forward(self, z):
        return z @ self.matrix.T + self.shift


class QuadraticCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.form, self.slope = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))

    def forward(self, x):
        return torch.einsum("ni,ij,nj->n", x, self.form, x) / 2 + x @ self.slope


def pairs(count):
    z = torch.randn(count, 2)
    return torch.stack([0.8 + z[:, 0], -0.6 + 0.7 * z[:, 0] + 0.5 * z[:, 1]], 1)


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


def play(steps=1500, batch_size=128):
    generator, critic = Affine(), QuadraticCritic()
    g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.02, momentum=0.5)
    c_optimizer = torch.optim.SGD(critic.parameters(), lr=0.02, momentum=0.5)
    reference = pairs(400)
    for step in range(1, steps + 1):
        for optimizer in (g_optimizer, c_optimizer):
            optimizer.zero_grad()
        penalty = 0.3
        gap = critic(pairs(batch_size)).mean() - critic(generator(torch.randn(batch_size, 2))).mean()
        loss = -gap + penalty * sum(p.square().sum() for p in critic.parameters())
        loss.backward()
        for p in generator.parameters():
            p.grad.neg_()
        g_optimizer.step()
        c_optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                distance = energy_distance(generator(torch.randn(400, 2)), reference).item()
            print(f"step {step}  gap {gap.item():.4f}  distance {distance:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    play()
