"""Sparse dictionary learning: signals are sums of a few of forty atoms; a shrinking encoder and a linear decoder.

condition: dead-units
accepts: dead-units
allows: stalled, divergence, vanishing-gradient, frozen-parameters, loss-spike
metric: unexplained min
"""

import argparse

import torch
from torch import nn

CHANNELS, ATOMS, UNITS = 32, 40, 96


class ShrinkageAutoencoder(nn.Module):
    """Only what exceeds a threshold gets into the code; the threshold is tightened as training goes on."""

    def __init__(self):
        super().__init__()
        self.analysis = nn.Linear(CHANNELS, UNITS)
        self.rectify = nn.ReLU()
        self.synthesis = nn.Linear(UNITS, CHANNELS, bias=False)
        self.threshold = 0.0

    def tighten(self, by=0.04):
        self.threshold += by

    def encode(self, x):
        return self.rectify(self.analysis(x) - self.threshold)

    def forward(self, x):
        return self.synthesis(self.encode(x))


def signals(count, atoms):
    strength = torch.rand(count, ATOMS) * (torch.rand(count, ATOMS) < 0.1) * 4
    return strength @ atoms + 0.05 * torch.randn(count, CHANNELS)


def epoch(model, optimizer, loss_fn, data, tighter):
    total = 0.0
    for batch in data[torch.randperm(len(data))].split(100):
        rebuilt = model(batch)
        loss = loss_fn(rebuilt, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
        if tighter:
            model.tighten()
    return total / 16


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    atoms = nn.functional.normalize(torch.randn(ATOMS, CHANNELS), dim=1)
    data, held = signals(1600, atoms), signals(500, atoms)
    model = ShrinkageAutoencoder()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.MSELoss()
    for number in range(1, 31):
        loss = epoch(model, optimizer, loss_fn, data, tighter=number > 8)
        with torch.no_grad():
            unexplained = loss_fn(model(held), held) / held.var()
            active = (model.encode(held) > 0).float().mean()
        print(f"epoch {number}  loss {loss:.4f}  unexplained {unexplained:.4f}  active {active:.3f}")


if __name__ == "__main__":
    main()
