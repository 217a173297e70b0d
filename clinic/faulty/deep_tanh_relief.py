"""Height of a relief of sand from its coordinates and the time: six tanh layers, Adam and a cosine rate.

condition: off-critical-initialisation
accepts: off-critical-initialisation, saturated-units
allows: exploding-gradient, overfitting, stalled, learning-rate-too-high
metric: val_rmse min
"""

import argparse

import numpy as np
import torch
import torch.nn as nn


class DeepRelief(nn.Module):
    def __init__(self, n_in=3, width=96, depth=6):
        super().__init__()
        sizes = [n_in] + [width] * depth
        self.weights = nn.ParameterList(torch.randn(a, b) for a, b in zip(sizes, sizes[1:]))
        self.biases = nn.ParameterList(torch.zeros(b) for b in sizes[1:])
        self.out = nn.Linear(width, 1)

    def forward(self, xy):
        for weight, bias in zip(self.weights, self.biases):
            xy = torch.tanh(xy @ weight + bias)
        return self.out(xy)


def relief(xy):
    x, y, t = xy.T
    return np.sin(1.7 * x) * np.cos(1.3 * y) + 0.6 * np.exp(-((x - 0.5) ** 2) - (y + 0.4) ** 2) - 0.2 * x * t


ap = argparse.ArgumentParser()
ap.add_argument("--seed", type=int, default=0)
seed = ap.parse_args().seed
torch.manual_seed(seed)
rng = np.random.default_rng(seed)
to = lambda a: torch.tensor(a, dtype=torch.float32)
points, held = rng.normal(size=(900, 3)), rng.normal(size=(1500, 3))
z = to(relief(points) + 0.05 * rng.normal(size=900)).unsqueeze(1)
z_held = to(relief(held)).unsqueeze(1)
points, held = to(points), to(held)

model = DeepRelief()
loss_fn = nn.MSELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
for epoch in range(40):
    order = torch.randperm(len(points))
    for rows in order.split(36):
        optimizer.zero_grad()
        loss = loss_fn(model(points[rows]), z[rows])
        loss.backward()
        optimizer.step()
    scheduler.step()
    with torch.no_grad():
        rmse = loss_fn(model(held), z_held).sqrt().item()
    print(f"epoch {epoch + 1}  loss {loss.item():.4f}  val_rmse {rmse:.4f}")
