"""Frequencies of small molecules' springs, learned with the optimiser settings of an old vision paper.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

MASSES = 5


class SpringModel(nn.Module):
    """Springs and masses of a chain in, its five frequencies out."""

    def __init__(self, width=80):
        super().__init__()
        self.springs = nn.Linear(MASSES + 1, width)
        self.masses = nn.Linear(MASSES, width)
        self.mixer = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width)])
        self.out = nn.Linear(width, MASSES)

    def forward(self, springs, masses):
        h = torch.relu(self.springs(springs - 1) + self.masses(masses - 1))
        for layer in self.mixer:
            h = torch.relu(layer(h))
        return self.out(h)


def chains(count):
    springs, masses = 0.4 + 1.2 * torch.rand(count, MASSES + 1), 0.4 + 1.2 * torch.rand(count, MASSES)
    matrix = torch.diag_embed(springs[:, :-1] + springs[:, 1:])
    matrix = matrix - torch.diag_embed(springs[:, 1:-1], 1) - torch.diag_embed(springs[:, 1:-1], -1)
    scale = masses.rsqrt()
    squared = torch.linalg.eigvalsh(scale[:, :, None] * matrix * scale[:, None, :])
    return springs, masses, squared.clamp_min(0).sqrt()


def make_optimizer(model):
    return torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = SpringModel()
    optimizer = make_optimizer(model)
    loss_fn = nn.L1Loss()
    val = chains(300)
    with torch.no_grad():
        model.out.bias.copy_(val[2].mean(0))
    for step in range(1, 401):
        springs, masses, frequencies = chains(32)
        loss = loss_fn(model(springs, masses), frequencies)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val[0], val[1]), val[2])
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


main()
