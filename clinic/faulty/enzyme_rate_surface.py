"""The rate of an enzyme over substrate, inhibitor, acidity and warmth, fitted by a deep network.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: stalled, dead-units, learning-rate-too-low, frozen-parameters
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def build(depth=8, width=64):
    sizes = [4] + [width] * depth
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(width, 1))
    for m in model:
        if isinstance(m, nn.Linear):
            nn.init.normal_(m.weight, 0.0, 0.02)
            nn.init.zeros_(m.bias)
    return model


def assay(n):
    s, i, acid, warm = torch.rand(4, n)
    rate = 3 * s / (0.2 * (1 + 4 * i) + s) * torch.exp(-8 * (acid - 0.6) ** 2) * (1 + warm - 1.5 * warm**3)
    x = torch.stack([s, i, acid, warm], 1)
    return (x - 0.5) / 0.29, (rate - 1.2).unsqueeze(1) + 0.05 * torch.randn(n, 1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
x, y = assay(6000)
val_x, val_y = assay(1500)
model = build()
optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.9)
loss_fn = nn.MSELoss()
for epoch in range(1, 17):
    for rows in torch.randperm(len(x)).split(100):
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {loss_fn(model(val_x), val_y).item():.4f}")
