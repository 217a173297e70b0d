"""Shells on a beach by metric learning: a quick start with Adam, then plain gradient descent on a second beach's shells.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SPECIES, MEASURES = 8, 16


class Beach:
    """Length, turns, ribs and the like; the sand of each beach wears them in its own way."""

    def __init__(self, wear):
        self.form = 0.9 * torch.randn(SPECIES, 6)
        self.mix = torch.randn(6, MEASURES) / 6**0.5
        self.worn = torch.randn(MEASURES, MEASURES) / MEASURES**0.5
        self.wear = wear

    def shells(self, per_species):
        species = torch.arange(SPECIES).repeat(per_species)
        size = torch.randn(len(species), 1)
        latent = self.form[species] * (1 + 0.2 * size) + 0.35 * torch.randn(len(species), 6)
        seen = torch.tanh(latent @ self.mix) + 0.3 * size
        return seen + self.wear * torch.sin(2 * seen @ self.worn) + 0.05 * torch.randn(len(species), MEASURES), species


class Embedder(nn.Module):
    def __init__(self, width=64, leave=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(MEASURES, width), nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.out = nn.Linear(width, leave)

    def forward(self, x):
        return F.normalize(self.out(self.layers(x)), dim=1)


def supervised_contrast(points, species, cold=0.2):
    """Every other shell of the species is a positive, all others are negatives."""
    itself = torch.eye(len(points), dtype=torch.bool)
    score = (points @ points.T / cold).masked_fill(itself, -1e4)
    same = (species.unsqueeze(0) == species.unsqueeze(1)) & ~itself
    return -(score.log_softmax(1) * same).sum(1).div(same.sum(1)).mean()


@torch.no_grad()
def neighbour_error(model, known, asked):
    near = (model(asked[0]) @ model(known[0]).T).argmax(1)
    return (known[1][near] != asked[1]).float().mean().item()


def phase(model, optimizer, beach, steps):
    known, asked = beach.shells(12), beach.shells(100)
    for step in steps:
        shells, species = beach.shells(6)
        loss = supervised_contrast(model(shells), species)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"step {step}  loss {loss.item():.4f}  error {neighbour_error(model, known, asked):.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Embedder()
rate = 1e-3
phase(model, torch.optim.Adam(model.parameters(), lr=rate), Beach(wear=0.3), range(1, 501))
phase(model, torch.optim.SGD(model.parameters(), lr=rate), Beach(wear=0.8), range(501, 1501))
