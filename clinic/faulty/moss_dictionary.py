"""A sparse dictionary of moss spectra: an overcomplete ReLU code, its sparsity demanded step by step.

condition: dead-units
accepts: dead-units, loss-term-imbalance
allows: loss-term-imbalance, stalled, divergence
metric: val_miss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BANDS, PIGMENTS, CODES = 32, 48, 96


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(BANDS))
        self.encode = nn.Linear(BANDS, CODES)
        self.atoms = nn.Parameter(F.normalize(torch.randn(CODES, BANDS), dim=1))
        self.encode.weight.data = self.atoms.data.clone()

    def forward(self, spectra):
        code = F.relu(self.encode(spectra - self.centre))
        return code @ F.normalize(self.atoms, dim=1) + self.centre, code


def spectra(pigments, count):
    there = (torch.rand(count, PIGMENTS) < 0.06).float()
    return (there * torch.rand(count, PIGMENTS) * 2) @ pigments + 0.02 * torch.randn(count, BANDS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pigments = F.normalize(torch.randn(PIGMENTS, BANDS), dim=1)
    held = spectra(pigments, 2000)
    model = Dictionary()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    sparsity = 0.001
    for step in range(1, 1201):
        batch = spectra(pigments, 128)
        again, code = model(batch)
        loss = (again - batch).square().sum(1).mean() + sparsity * code.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            sparsity *= 2
        if step % 40 == 0:
            with torch.no_grad():
                val_miss = (model(held)[0] - held).square().sum(1).mean().item()
            codes = (code > 0).sum(1).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_miss {val_miss:.4f}  codes {codes:.1f}")


main()
