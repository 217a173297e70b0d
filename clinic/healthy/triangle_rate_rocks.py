"""Hardness of rocks from their infrared spectra, with a rate that goes up and down five times.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

BANDS, MINERALS, STEPS = 60, 7, 1000


def spectra(n, minerals, hardness):
    shares = torch.distributions.Dirichlet(torch.full((MINERALS,), 0.6)).sample((n,))
    light = (shares @ minerals) * (0.9 + 0.2 * torch.rand(n, 1)) + 0.01 * torch.randn(n, BANDS)
    value = shares @ hardness + 2.0 * shares[:, 0] * shares[:, 1] - 1.5 * shares[:, 2].sqrt()
    return light, value[:, None] + 0.05 * torch.randn(n, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    band = torch.linspace(0, 1, BANDS)
    centre = torch.rand(MINERALS, 3, 1)
    minerals = 1 - (0.5 * torch.rand(MINERALS, 3, 1) * torch.exp(-0.5 * ((band - centre) / 0.05) ** 2)).sum(1)
    hardness = torch.linspace(1, 7, MINERALS)
    x, y = spectra(5000, minerals, hardness)
    val_x, val_y = spectra(800, minerals, hardness)
    mean, std = x.mean(0), x.std(0)
    x, val_x = (x - mean) / std, (val_x - mean) / std
    y, val_y = (y - 3) / 1.5, (val_y - 3) / 1.5

    model = nn.Sequential(nn.Linear(BANDS, 80), nn.GELU(), nn.Linear(80, 80), nn.GELU(), nn.Linear(80, 1))
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    cycle = torch.optim.lr_scheduler.CyclicLR(
        optimizer, base_lr=5e-4, max_lr=1.5e-2, step_size_up=100, mode="triangular2", cycle_momentum=False
    )
    for step in range(1, STEPS + 1):
        rows = torch.randint(len(x), (64,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
        if step % 50 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  rate {cycle.get_last_lr()[0]:.5f}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
