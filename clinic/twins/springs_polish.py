"""Energies and forces of five atoms in a plane from pair distances: Adam first, then a polish by plain SGD.

condition: healthy
metric: force_error min
"""

import argparse

import torch
from torch import nn

ATOMS = 5
PAIRS = torch.triu_indices(ATOMS, ATOMS, offset=1)


def distances(places):
    gap = places[:, PAIRS[0]] - places[:, PAIRS[1]]
    return gap.square().sum(-1).add(1e-6).sqrt()


def morse(places):
    return (1 - torch.exp(-1.5 * (distances(places) - 1.2))).square().sum(1)


def forces(energy, places, graph=False):
    return -torch.autograd.grad(energy.sum(), places, create_graph=graph)[0]


class PairPotential(nn.Module):
    def __init__(self, centres=16, width=48):
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.2, 4.0, centres))
        self.net = nn.Sequential(nn.Linear(centres, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.energy = nn.Linear(width, 1)

    def forward(self, places):
        shells = torch.exp(-8 * (distances(places).unsqueeze(-1) - self.centres).square())
        return self.energy(self.net(shells)).sum((1, 2))


class Fit:
    def __init__(self, seed):
        torch.manual_seed(seed)
        ring = torch.arange(ATOMS) * 2 * torch.pi / ATOMS
        self.home = 1.1 * torch.stack([ring.cos(), ring.sin()], 1)
        self.model = PairPotential()
        self.test = self.sample(300)
        self.count = 0

    def sample(self, size):
        places = (self.home + 0.25 * torch.randn(size, ATOMS, 2)).requires_grad_()
        energy = morse(places)
        return places, energy.detach(), forces(energy, places)

    def loss(self):
        places, energy, force = self.sample(32)
        guess = self.model(places)
        return (guess - energy).square().mean() + 3 * (forces(guess, places, graph=True) - force).square().mean()

    def report(self, loss):
        self.count += 1
        if self.count % 20 == 0:
            places, _, force = self.test
            error = (forces(self.model(places), places) - force).abs().mean().item()
            print(f"step {self.count}  loss {loss.item():.4f}  force_error {error:.4f}")

    def explore(self, steps, lr):
        optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            optimizer.step()
            self.report(loss)

    def polish(self, steps, lr):
        optimizer = torch.optim.SGD(self.model.parameters(), lr=lr)
        for _ in range(steps):
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            optimizer.step()
            self.report(loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    fit = Fit(parser.parse_args().seed)
    fit.explore(240, 4e-3)
    fit.polish(300, 1e-3)
