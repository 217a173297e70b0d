"""Carbon in soil from near-infrared spectra, with an error bar: a network gives mean and variance.

condition: overfitting
accepts: overfitting
metric: val_nll min
"""

import argparse

import torch
from torch import nn

BANDS = 60


class Soils:
    def __init__(self):
        wave = torch.linspace(0, 1, BANDS)
        centre = torch.tensor([0.15, 0.32, 0.5, 0.68, 0.85]).unsqueeze(1)
        self.wave = wave - 0.5
        self.pure = torch.exp(-((wave - centre) ** 2) / (2 * 0.06**2))

    def scatter(self, spectra):
        """Grain size and moisture bend, shift and stretch what the instrument sees."""
        n = len(spectra)
        gain, shift, bend = 1 + 0.25 * torch.randn(n, 1), 0.4 * torch.randn(n, 1), 0.8 * torch.randn(n, 1)
        return gain * spectra + shift + bend * self.wave

    def sample(self, count):
        parts = torch.rand(count, 5)
        carbon = 3 * parts[:, 1] + 2 * parts[:, 1] * parts[:, 3] - 2
        spectra = self.scatter(parts @ self.pure) + 0.08 * torch.randn(count, BANDS)
        return spectra - 0.4, carbon + 0.15 * torch.randn(count)


class MeanVariance(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(BANDS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )

    def forward(self, spectra):
        mean, raw = self.net(spectra).unbind(1)
        return mean, nn.functional.softplus(raw) + 1e-3


def prepare(soils, spectra):
    return spectra


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    soils = Soils()
    spectra, carbon = soils.sample(160)
    val_spectra, val_carbon = soils.sample(500)
    model = MeanVariance()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    loss_fn = nn.GaussianNLLLoss()
    epochs = 200
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(carbon)).split(32):
            mean, variance = model(prepare(soils, spectra[rows]))
            loss = loss_fn(mean, carbon[rows], variance)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        if epoch % 10 == 0:
            with torch.no_grad():
                mean, variance = model(val_spectra)
                val_nll = loss_fn(mean, val_carbon, variance).item()
            print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
