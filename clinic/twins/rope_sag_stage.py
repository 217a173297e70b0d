"""Sag of a rope bridge under its load: a network taken from one kind of rope to the next.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ROPES = {"hemp": (1.0, 0.3, 0.0), "steel": (-0.8, 1.0, 0.9), "nylon": (0.4, -0.9, -1.0)}


def bridges(count, rope):
    stretch, creep, wet = ROPES[rope]
    load, span, age, rain, wind = torch.randn(5, count)
    sag = stretch * load * span + torch.tanh(2 * creep * age) + wet * torch.sin(2 * rain) + 0.3 * wind * load
    return torch.stack([load, span, age, rain, wind], 1), sag + 0.15 * torch.randn(count)


class Sag(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.layers(x)).squeeze(1)


def adapt(model, rope, rate, start, epochs=9, batch=40):
    x, sag = bridges(2400, rope)
    x_val, sag_val = bridges(1500, rope)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, eta_min=rate / 10)
    for epoch in range(start + 1, start + epochs + 1):
        for rows in torch.randperm(len(x)).split(batch):
            loss = F.mse_loss(model(x[rows]), sag[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        with torch.no_grad():
            val_rmse = F.mse_loss(model(x_val), sag_val).sqrt().item()
        print(f"epoch {epoch}  rope {rope}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model, rate = Sag(), 0.03
    for number, rope in enumerate(ROPES):
        adapt(model, rope, rate, 9 * number)
        rate *= 0.9


main()
