"""A relativistic average GAN of leaf sizes: length, width and stalk of three species; equal rates, one step each.

condition: healthy
metric: distance min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def leaves(count):
    species = torch.randint(3, (count,))
    length = torch.tensor([1.6, 0.2, -1.4])[species] + 0.3 * torch.randn(count)
    width = 0.5 * length + torch.tensor([-1.0, 1.0, 0.3])[species] + 0.2 * torch.randn(count)
    stalk = 0.4 * width**2 - 0.5 + 0.2 * torch.randn(count)
    return torch.stack([length, width, stalk], 1)


class Net(nn.Module):
    def __init__(self, inputs, outputs, width=64):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(inputs, width), nn.Linear(width, width)])
        self.out = nn.Linear(width, outputs)

    def forward(self, x):
        for layer in self.layers:
            x = F.silu(layer(x))
        return self.out(x)


def energy_distance(a, b):
    return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()


def relativistic(high, low):
    return F.softplus(low.mean() - high).mean() + F.softplus(low - high.mean()).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    generator, critic = Net(5, 3), Net(3, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.9))
    c_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))
    reference = leaves(500)
    for step in range(1, 701):
        real = leaves(96)
        fake = generator(torch.randn(96, 5))
        c_loss = relativistic(critic(real), critic(fake.detach()))
        c_optimizer.zero_grad()
        c_loss.backward()
        c_optimizer.step()

        g_loss = relativistic(critic(fake), critic(real))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                distance = energy_distance(generator(torch.randn(500, 5)), reference).item()
            print(f"step {step}  critic {c_loss.item():.3f}  g {g_loss.item():.3f}  distance {distance:.4f}")


main()
