"""Twelve GELU layers learn a two-dimensional potential from noisy samples, Huber loss and momentum SGD.

condition: off-critical-initialisation
accepts: off-critical-initialisation, exploding-gradient
allows: non-finite, divergence, unsafe-step, learning-rate-too-high, loss-spike, stalled, dead-units, always-clipping
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

points = 2 * torch.randn(3000, 2)
potential = torch.cos(points[:, 0]) + 0.1 * points.square().sum(1) + 0.05 * torch.randn(3000)
potential = ((potential - potential.mean()) / potential.std()).unsqueeze(1)


class Potential(nn.Module):
    def __init__(self, width=64, depth=12):
        super().__init__()
        hidden = [nn.Linear(width, width) for _ in range(depth - 2)]
        layers = [nn.Linear(2, width), *hidden, nn.Linear(width, 1)]
        for layer in layers:
            nn.init.normal_(layer.weight, std=0.45)
            nn.init.zeros_(layer.bias)
        self.layers = nn.ModuleList(layers)
        self.activation = nn.GELU()

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


model = Potential()
optimizer = torch.optim.SGD(model.parameters(), lr=5e-3, momentum=0.9)
loss_fn = nn.HuberLoss()

running = 0.0
for step in range(1, 401):
    batch = torch.randint(len(points), (128,))
    loss = loss_fn(model(points[batch]), potential[batch])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 10.0)
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
