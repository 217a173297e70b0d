"""Noise of an aerofoil, or something like it, from five numbers: each layer reads what all earlier ones wrote.

condition: exploding-gradient
accepts: exploding-gradient, off-critical-initialisation, learning-rate-too-high
allows: off-critical-initialisation, learning-rate-too-high, divergence, unsafe-step, non-finite, loss-spike, stalled,
  dead-units
metric: val_mse min
"""

import argparse

import torch
from torch import nn


def wind_tunnel(count):
    x = torch.rand(count, 5) * 2 - 1
    speed, angle, chord, pitch, thickness = x.unbind(1)
    level = torch.sin(2 * angle + speed) + speed * chord - pitch**2 + 0.5 * torch.cos(3 * thickness * chord)
    return x, ((level - 0.1) / 0.95 + 0.05 * torch.randn(count)).unsqueeze(1)


class SumOfAll(nn.Module):
    """The k-th layer's input is the sum of the outputs of all layers before it."""

    def __init__(self, depth=16, width=40):
        super().__init__()
        self.stem = nn.Linear(5, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.head = nn.Linear(width, 1)
        for layer in self.layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        written = [torch.relu(self.stem(x))]
        for layer in self.layers:
            read = torch.stack(written).sum(0)
            written.append(torch.relu(layer(read)))
        return self.head(written[-1])


def run_epoch(model, optimizer, loss_fn, x, y):
    for rows in torch.randperm(len(x)).split(50):
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return loss.item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = wind_tunnel(600)
    val_x, val_y = wind_tunnel(400)
    model = SumOfAll()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-4)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 31):
        loss = run_epoch(model, optimizer, loss_fn, x, y)
        with torch.no_grad():
            print(f"epoch {epoch}  mse {loss:.5g}  val_mse {loss_fn(model(val_x), val_y).item():.5g}")
