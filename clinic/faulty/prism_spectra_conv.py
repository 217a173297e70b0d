"""Concentrations of three dyes from an absorption spectrum: a 1-D convolution, Adam first and SGD to polish.

condition: learning-rate-too-high
accepts: learning-rate-too-high, divergence
allows: divergence, loss-spike, dead-units, edge-of-stability, unsafe-step
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

GRID = torch.linspace(0, 1, 96)
PEAKS = [[(0.22, 0.04, 1.0), (0.61, 0.08, 0.5)], [(0.35, 0.06, 0.9)], [(0.50, 0.05, 0.7), (0.78, 0.05, 0.8)]]


def measure(count):
    dyes = torch.rand(count, 3)
    pure = torch.stack([sum(h * torch.exp(-(((GRID - m) / w) ** 2)) for m, w, h in dye) for dye in PEAKS])
    depth = dyes @ pure + 0.3 * torch.rand(count, 1) + 0.2 * torch.rand(count, 1) * GRID
    seen = torch.exp(-2.0 * depth) + 0.01 * torch.randn(count, 96)
    return 2 * seen - 1, (dyes - 0.5) / 0.29


class Spectrometer(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 12, 7, stride=2, padding=3),
            nn.ReLU(),
            nn.Conv1d(12, 24, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv1d(24, 24, 5, stride=2, padding=2),
            nn.ReLU(),
        )
        self.out = nn.Sequential(nn.Flatten(), nn.Linear(24 * 12, 48), nn.ReLU(), nn.Linear(48, 3))

    def forward(self, spectrum):
        return self.out(self.conv(spectrum.unsqueeze(1)))


def batches(spectra, dyes, size=64):
    for rows in torch.randperm(len(spectra)).split(size):
        yield spectra[rows], dyes[rows]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    train, val = measure(2560), measure(1000)
    model = Spectrometer()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, 31):
        if epoch == 13:
            optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
        model.train()
        for spectra, dyes in batches(*train):
            loss = F.mse_loss(model(spectra), dyes)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            error = F.mse_loss(model(val[0]), val[1]).sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
