"""The spectrum of a cloth dyed with five dyes, computed by a network whose weights are kept in bfloat16 to save memory.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

BANDS, DYES = 31, 5


def spectra(amount, strength):
    """Kubelka-Munk: absorption adds up over the dyes, reflectance follows."""
    ratio = 0.05 + amount @ strength
    return 1 + ratio - (ratio.pow(2) + 2 * ratio).sqrt()


def make_dyes(generator):
    wave = torch.linspace(0, 1, BANDS)
    centre = torch.rand(DYES, 1, generator=generator)
    width = 0.06 + 0.15 * torch.rand(DYES, 1, generator=generator)
    return 3.0 * torch.exp(-((wave - centre) / width).pow(2))


def network(width=96):
    return nn.Sequential(nn.Linear(DYES, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, BANDS))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    strength = make_dyes(torch.Generator().manual_seed(12))
    amount = torch.rand(4000, DYES, generator=generator)
    target = spectra(amount, strength)
    mean, sd = target[:3200].mean(), target[:3200].std()
    target = (target - mean) / sd
    x, y, x_val, y_val = amount[:3200], target[:3200], amount[3200:], target[3200:]
    x, x_val = 2 * x - 1, 2 * x_val - 1

    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    total = 40 * 50
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total, eta_min=1e-5)
    for epoch in range(1, 41):
        order = torch.randperm(len(x), generator=generator)
        for rows in order.split(64):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                predicted = model(x[rows].to(torch.bfloat16))
            loss = (predicted.float() - y[rows]).pow(2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            error = (model(x_val.to(torch.bfloat16)).float() - y_val).pow(2).mean().sqrt().item()
        if epoch % 2 == 0:
            print(f"epoch {epoch}  loss {loss.item():.5f}  val_error {error:.5f}")


if __name__ == "__main__":
    main()
