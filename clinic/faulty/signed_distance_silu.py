"""The signed distance to a gear wheel as a function of the place: a deep SiLU network without norms.

condition: off-critical-initialisation
accepts: off-critical-initialisation, vanishing-gradient
allows: stalled, learning-rate-too-low, epsilon-dominated-update
metric: error min
"""

import argparse
from itertools import pairwise

import torch
from torch import nn


def init_weights(module):
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


class DistanceField(nn.Module):
    def __init__(self, width=64, depth=11):
        super().__init__()
        sizes = [2] + [width] * depth
        layers = []
        for size_in, size_out in pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.SiLU()]
        self.body = nn.Sequential(*layers)
        self.out = nn.Linear(width, 1)
        self.apply(init_weights)

    def forward(self, place):
        return self.out(self.body(2 * place)).squeeze(-1)


def distance(place):
    radius, angle = place.norm(dim=-1), torch.atan2(place[..., 1], place[..., 0])
    return radius - 0.6 - 0.15 * torch.tanh(4 * torch.sin(5 * angle))


def train(model, optimizer, loss_fn, steps=300, batch=256):
    side = torch.linspace(-1, 1, 32)
    grid = torch.cartesian_prod(side, side)
    for step in range(1, steps + 1):
        place = 2 * torch.rand(batch, 2) - 1
        loss = loss_fn(model(place), distance(place))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                error = (model(grid) - distance(grid)).abs().mean()
            print(f"step {step}  loss {loss.item():.5f}  error {error.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = DistanceField()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    train(model, optimizer, nn.L1Loss())
