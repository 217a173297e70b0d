"""Eight filters are chosen out of a camera's sixty wavelengths; a network tells the water content of leaves from them.

condition: softmax-collapse
accepts: softmax-collapse
allows: stalled, vanishing-gradient, frozen-parameters, detached-parameters, saturated-units, attention-logit-growth,
  low-precision-underflow, overfitting
metric: val_mse min
"""

import argparse

import torch
from torch import nn

WAVELENGTHS, FILTERS = 60, 8


class Selector(nn.Module):
    """Every filter is a softmax over the wavelengths; the temperature falls until a filter is one wavelength."""

    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(0.1 * torch.randn(FILTERS, WAVELENGTHS))
        self.temperature = 1.0

    def forward(self, spectrum):
        return spectrum @ torch.softmax(self.scores / self.temperature, 1).T


class LeafNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.selector = Selector()
        self.net = nn.Sequential(nn.Linear(FILTERS, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, 1))

    def forward(self, spectrum):
        return self.net(self.selector(spectrum)).squeeze(1)


def leaves(n, gen):
    """Narrow absorption lines of water among those of pigments; every wavelength has its own noise."""
    water = torch.rand(n, 1, generator=gen)
    pigments = torch.rand(n, 3, generator=gen)
    w = torch.arange(WAVELENGTHS, dtype=torch.float32)

    def line(at, width=1.3):
        return torch.exp(-(((w - at) / width) ** 2))

    absorb = water * (line(14) + 0.8 * line(47)) + sum(
        pigments[:, k, None] * (line(a) + line(b)) for k, (a, b) in enumerate([(14, 5), (47, 26), (36, 55)])
    )
    spectrum = 2 * absorb - 0.3 + 0.3 * torch.randn(n, WAVELENGTHS, generator=gen)
    return spectrum, (water.squeeze(1) - 0.5) / 0.29


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = leaves(1000, gen)
    model = LeafNet()
    optimizer = torch.optim.Adam(
        [
            {"params": model.selector.parameters(), "lr": 2e-2},
            {"params": model.net.parameters(), "lr": 2e-3},
        ]
    )
    steps = 900
    for step in range(1, steps + 1):
        model.selector.temperature = 0.94**step
        x, y = leaves(64, gen)
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 700:
            for group in optimizer.param_groups:
                group["lr"] *= 0.2
        if step % 30 == 0:
            with torch.no_grad():
                val_mse = nn.functional.mse_loss(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")


main()
