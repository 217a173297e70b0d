"""Made-up profiles of twelve genes in ten kinds of cells, by a least-squares GAN with residual blocks.

condition: mode-collapse
accepts: mode-collapse
allows: adversarial-rotation, vanishing-gradient, dead-units
metric: distance min
"""

import argparse
import itertools

import torch
from sklearn.datasets import make_blobs
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

GENES, KINDS, NOISE = 12, 10, 8


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(0.2), nn.Linear(width, width))

    def forward(self, x):
        return x + self.body(x)


def network(inputs, outputs, width=64):
    return nn.Sequential(nn.Linear(inputs, width), Block(width), nn.LeakyReLU(0.2), nn.Linear(width, outputs))


def energy_distance(a, b):
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


def main(seed):
    torch.manual_seed(seed)
    x, _ = make_blobs(3000, GENES, centers=KINDS, cluster_std=0.15, center_box=(-1, 1), random_state=seed)
    x = torch.tensor(x, dtype=torch.float32)
    loader = DataLoader(TensorDataset(x[:2500]), 64, shuffle=True, drop_last=True)
    held = x[2500:]
    generator, critic = network(NOISE, GENES), network(GENES, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    d_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.99))
    loss_fn = nn.MSELoss()
    one, zero = torch.ones(64, 1), torch.zeros(64, 1)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for step in range(1, 501):
        (real,) = next(batches)
        fake = generator(torch.randn(64, NOISE)).detach()
        d_loss = loss_fn(critic(real), one) + loss_fn(critic(fake), zero)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()
        for _ in range(4):
            g_loss = loss_fn(critic(generator(torch.randn(64, NOISE))), one)
            g_optimizer.zero_grad()
            g_loss.backward()
            g_optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                distance = energy_distance(generator(torch.randn(500, NOISE)), held)
            print(f"step {step}  d_loss {d_loss.item():.3f}  g_loss {g_loss.item():.3f}  distance {distance:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
