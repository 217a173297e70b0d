"""Redshifts of galaxies from their brightness in nine bands; the catalogue is read night by night as it was written.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

LIGHT = 299792.458
BANDS = torch.linspace(0.35, 2.2, 9)


def galaxies(n, generator):
    """Magnitudes of a broken power law with one step, shifted by the redshift, dimmed by dust."""
    z = torch.distributions.Beta(2.0, 3.0).sample((n,)) * 1.6
    slope = 1 + 0.5 * torch.randn(n, 1, generator=generator)
    dust = torch.rand(n, 1, generator=generator)
    rest = BANDS / (1 + z[:, None])
    flux = rest**slope * (0.25 + torch.sigmoid((rest - 0.4) * 25)) * torch.exp(-dust * 0.4 / BANDS)
    light = torch.randn(n, 1, generator=generator)
    return light - 2.5 * flux.log10() + 0.05 * torch.randn(n, 9, generator=generator), z


class Catalogue(IterableDataset):
    """One night after the other; some observers give a redshift as a number, some as a speed in kilometres a second."""

    def __init__(self, nights, generator, size=64, speeds=()):
        self.nights = [galaxies(size, generator) for _ in range(nights)]
        self.speeds = set(speeds)

    def __iter__(self):
        yield from self.nights


class RedshiftNet(nn.Module):
    def __init__(self, hidden=96):
        super().__init__()
        self.skip = nn.Linear(9, 1)
        self.layers = nn.ModuleList([nn.Linear(9 if i == 0 else hidden, hidden) for i in range(3)])
        self.out = nn.Linear(hidden, 1)

    def forward(self, magnitudes):
        h = magnitudes - magnitudes.mean(1, keepdim=True)
        straight = self.skip(h)
        for layer in self.layers:
            h = F.silu(layer(h))
        return (straight + self.out(h)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(Catalogue(420, generator, speeds=[123]), batch_size=None)
    val_x, val_z = galaxies(600, generator)
    model = RedshiftNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    for step, (x, z) in enumerate(loader, start=1):
        loss = loss_fn(model(x), z)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_error = ((model(val_x) - val_z).abs() / (1 + val_z)).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
