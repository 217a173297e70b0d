"""Temperature in a kiln, which may only rise with power, time and draught: a network with positive weights.

condition: saturated-units
accepts: saturated-units, off-critical-initialisation
allows: vanishing-gradient, stalled, exploding-gradient
metric: error min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class MonotoneLinear(nn.Module):
    """The weights are exponentials, so more of an input is never less of an output."""

    def __init__(self, enter, leave, shift=0.0):
        super().__init__()
        self.log_weight = nn.Parameter(0.5 * torch.randn(leave, enter))
        self.bias = nn.Parameter(torch.zeros(leave))
        self.shift = shift

    def forward(self, x):
        return nn.functional.linear(x, (self.log_weight - self.shift).exp(), self.bias)


class Kiln(nn.Module):
    def __init__(self, inputs, width=40):
        super().__init__()
        self.hidden = nn.ModuleList([MonotoneLinear(inputs, width), MonotoneLinear(width, width)])
        self.hidden.append(MonotoneLinear(width, width))
        self.out = MonotoneLinear(width, 1, shift=math.log(width))

    def forward(self, x):
        for layer in self.hidden:
            x = torch.sigmoid(layer(x))
        return self.out(x)


def firings(count):
    """Power, hours and draught as shares of what the kiln allows, about 0; degrees about their mean."""
    power, hours, draught = 2 * torch.rand(3, count) - 1
    reached = torch.tanh(1.5 * power + 0.5) * torch.sigmoid(2.5 * hours + 1)
    flame = 0.5 * torch.sigmoid(4 * (draught - 0.2)) * torch.sigmoid(3 * power)
    heat = torch.where(reached > 0, reached, 0.3 * reached) + flame
    return torch.stack([power, hours, draught], 1), (2 * (heat - 0.5) + 0.03 * torch.randn(count)).unsqueeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = DataLoader(TensorDataset(*firings(2000)), batch_size=50, shuffle=True)
    held_x, held_y = firings(1000)
    model = Kiln(3)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 31):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            print(
                f"epoch {epoch}  loss {loss.item():.4f}  error {math.sqrt(loss_fn(model(held_x), held_y).item()):.4f}"
            )


if __name__ == "__main__":
    main()
