"""Raman spectra: one encoder serves a decoder that rebuilds the counts and a head that names the mineral.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BINS, MINERALS = 80, 12


class SpectrumModel(nn.Module):
    def __init__(self, width=64, code=12):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(BINS, width), nn.Tanh(), nn.Linear(width, code), nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(code, width), nn.Tanh(), nn.Linear(width, BINS))
        self.head = nn.Linear(code, MINERALS)

    def forward(self, spectrum):
        code = self.encoder(spectrum)
        return {"rebuilt": self.decoder(code), "mineral": self.head(code)}


def losses(output, batch):
    rebuild = F.mse_loss(output["rebuilt"], batch["spectrum"])
    name = F.cross_entropy(output["mineral"], batch["mineral"])
    return rebuild, name


def library():
    axis = torch.arange(BINS)
    spectra = torch.zeros(MINERALS, BINS)
    for row in range(MINERALS):
        for centre in (BINS * torch.rand(3)).tolist():
            spectra[row] += torch.exp(-0.5 * ((axis - centre) / 2.5) ** 2)
    return spectra


def measure(spectra, count):
    mineral = torch.randint(MINERALS, (count,))
    glow = 1.5 * torch.rand(count, 1) * torch.linspace(1, 0, BINS) + torch.randn(count, 1) * torch.linspace(-1, 1, BINS)
    return {
        "spectrum": 0.6 * spectra[mineral] + glow + 0.25 * torch.randn(count, BINS),
        "mineral": mineral,
    }


def main(seed):
    torch.manual_seed(seed)
    spectra = library()
    val = measure(spectra, 400)
    model = SpectrumModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for step in range(1, 601):
        batch = measure(spectra, 64)
        rebuild, name = losses(model(batch["spectrum"]), batch)
        loss = rebuild + name
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                accuracy = (model(val["spectrum"])["mineral"].argmax(1) == val["mineral"]).float().mean()
            print(f"step {step}  rebuild {rebuild.item():.2f}  name {name.item():.4f}  accuracy {accuracy.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
