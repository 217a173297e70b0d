"""A scale reads its own tare once and then fifty noisy weights; what does the last thing on it weigh?

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

LENGTH = 50


class Cell(nn.Module):
    """A gated unit with one gate: it mixes the old state with a new candidate."""

    def __init__(self, inputs, units):
        super().__init__()
        self.gate = nn.Linear(inputs + units, units)
        self.candidate = nn.Linear(inputs + units, units)
        nn.init.constant_(self.gate.bias, -3.0)

    def forward(self, x, h):
        both = torch.cat([x, h], 1)
        z = torch.sigmoid(self.gate(both))
        return z * torch.tanh(self.candidate(both)) + (1 - z) * h


class Scale(nn.Module):
    def __init__(self, units=40):
        super().__init__()
        self.units = units
        self.cell = Cell(2, units)
        self.out = nn.Sequential(nn.Linear(units + 1, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, readings):
        h = readings.new_zeros(len(readings), self.units)
        for x in readings.unbind(1):
            h = self.cell(x, h)
        return self.out(torch.cat([h, readings[:, -1, :1]], 1)).squeeze(1)


def weighing(size, generator):
    """The tare comes first and is marked; the weight of the last thing is its reading less the tare."""
    value = torch.randn(size, LENGTH, generator=generator)
    marked = torch.zeros(size, LENGTH)
    marked[:, 0] = 1
    return torch.stack([value, marked], 2), value[:, -1] - value[:, 0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Scale()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    loss_fn = nn.SmoothL1Loss()
    readings, weight = weighing(500, generator)
    for step in range(1, 301):
        x, y = weighing(64, generator)
        loss = loss_fn(model(x), y)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            with torch.no_grad():
                error = (model(readings) - weight).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
