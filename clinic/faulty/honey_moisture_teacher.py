"""Moisture of honey from its near-infrared spectrum, with few wet measurements and many bare spectra.

A mean teacher joins in after a first stage: on disturbed bare spectra the student should agree with it.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled, divergence, loss-term-imbalance, loss-spike, vanishing-gradient
metric: rmse min
"""

import argparse
import copy

import torch
from torch import nn

CHANNELS = 40


def scan(count, generator):
    """Spectra with a water band, a sugar band and a sloping base line; moisture in per cent."""
    channel = torch.linspace(0, 1, CHANNELS)
    moisture = 17 + 2 * torch.randn(count, generator=generator)
    sugar = 80 + 3 * torch.randn(count, generator=generator)
    water_band = torch.exp(-(((channel - 0.62) / 0.06) ** 2))
    sugar_band = torch.exp(-(((channel - 0.50) / 0.10) ** 2))
    slope = 0.3 * torch.randn(count, 1, generator=generator) * channel
    absorbed = moisture[:, None] / 17 * water_band + sugar[:, None] / 80 * sugar_band
    spectra = absorbed**1.3 + slope + 0.04 * torch.randn(count, CHANNELS, generator=generator)
    return spectra - 0.6, (moisture - 17) / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=900)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    labelled, moisture = scan(150, generator)
    bare, _ = scan(3000, generator)
    test, truth = scan(500, generator)

    model = nn.Sequential(nn.Linear(CHANNELS, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    teacher = copy.deepcopy(model).requires_grad_(False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-5)
    for step in range(1, arguments.steps + 1):
        rows = torch.randint(len(labelled), (32,), generator=generator)
        loss = (model(labelled[rows]).squeeze(1) - moisture[rows]).pow(2).mean()
        if step > 300:
            spectra = bare[torch.randint(len(bare), (64,), generator=generator)]
            disturbed = spectra + 0.04 * torch.randn(spectra.shape, generator=generator)
            agreed = teacher(spectra)
            weight = min(1.0, (step - 300) / 200)
            loss = loss + weight * (model(disturbed).squeeze(1) - agreed).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), model.parameters()):
                slow.lerp_(fast, 0.02)
        if step % 20 == 0:
            with torch.no_grad():
                rmse = 2 * (model(test).squeeze(1) - truth).pow(2).mean().sqrt().item()
            print(f"step {step:4d}  loss {loss.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
