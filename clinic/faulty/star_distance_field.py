"""The signed distance to a star with five points is learned by a deep network, as it is done for shapes.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: vanishing-gradient, stalled, learning-rate-too-low, epsilon-dominated-update
metric: error min
"""

import argparse
import math
from itertools import pairwise

import torch
from torch import nn


def star_distance(points, corners):
    """Distance to the nearest edge, negative inside."""
    a, b = corners, corners.roll(-1, 0)
    edge = b - a
    to = points.unsqueeze(1) - a
    t = ((to * edge).sum(2) / (edge * edge).sum(1)).clamp(0, 1)
    distance = (to - t.unsqueeze(2) * edge).norm(dim=2).min(1).values
    above, next_above = points[:, 1:] < a[:, 1], points[:, 1:] < b[:, 1]
    cross = edge[:, 0] * to[..., 1] - edge[:, 1] * to[..., 0]
    crossings = (above != next_above) & ((cross > 0) == (edge[:, 1] > 0))
    return torch.where(crossings.sum(1) % 2 == 1, -distance, distance)


def make_star(seed):
    angle = torch.arange(10) * math.pi / 5 + 0.1 * seed
    radius = torch.tensor([0.8, 0.35]).repeat(5)
    return torch.stack([radius * angle.cos(), radius * angle.sin()], 1)


class DistanceField(nn.Module):
    def __init__(self, depth=12, width=64):
        super().__init__()
        widths = [2] + [width] * depth
        self.hidden = nn.ModuleList([nn.Linear(i, o) for i, o in pairwise(widths)])
        self.activation = nn.ELU()
        self.out = nn.Linear(width, 1)
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(self, points):
        for layer in self.hidden:
            points = self.activation(layer(points))
        return self.out(points).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    star = make_star(seed)
    test = torch.rand(1000, 2) * 2 - 1
    test_distance = star_distance(test, star)
    model = DistanceField()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    loss_fn = nn.MSELoss()
    for step in range(1, 401):
        points = torch.rand(128, 2) * 2 - 1
        loss = loss_fn(model(points), star_distance(points, star))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                error = (model(test) - test_distance).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  error {error:.5f}")


if __name__ == "__main__":
    main()
