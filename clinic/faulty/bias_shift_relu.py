"""Torque of a grip from sixteen muscle signals: a ReLU network that is kept sparse by a pull on its hidden layer.

condition: dead-units
accepts: dead-units, loss-term-imbalance
allows: loss-term-imbalance, stalled, vanishing-gradient, learning-rate-too-low
metric: val_torque min
"""

import argparse

import torch
from torch import nn


def grips(count, g):
    muscles = torch.randn(count, 16, generator=g)
    flex, stretch = muscles[:, :6].mean(1) * 2.4, muscles[:, 6:12].mean(1) * 2.4
    torque = 1.5 * flex.sigmoid() - 1.5 * stretch.sigmoid() + 0.4 * flex * stretch + 0.3 * muscles[:, 12]
    return muscles, torque + 0.05 * torch.randn(count, generator=g)


class GripNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.hidden, self.second, self.out = nn.Linear(16, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.activity = []
        for layer in (self.hidden, self.second):
            layer.register_forward_hook(lambda module, inputs, output: self.activity.append(output))

    def forward(self, x):
        self.activity.clear()
        return self.out(self.second(self.hidden(x).relu()).relu()).squeeze(1)

    def sparsity(self):
        return sum(a.relu().sum(1).mean() for a in self.activity)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    x, y = grips(2000, g)
    val_x, val_y = grips(500, g)
    model = GripNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    strength, growth = 1e-4, 1.025
    for step in range(1, 401):
        rows = torch.randint(2000, (64,))
        error = loss_fn(model(x[rows]), y[rows])
        loss = error + strength * model.sparsity()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        strength *= growth
        if step % 10 == 0:
            with torch.no_grad():
                val_torque = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  error {error.item():.4f}  loss {loss.item():.4f}  val_torque {val_torque:.4f}")


main()
