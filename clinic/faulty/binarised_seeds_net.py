"""Kinds of wheat from the outline of the grain, for a sorter with binary arithmetic: activations first, then weights.

condition: surrogate-mismatch
accepts: surrogate-mismatch
allows: vanishing-gradient, saturated-units, stalled, divergence, loss-spike, learning-rate-too-high, exploding-gradient
metric: accuracy max
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

KINDS, ANGLES = 6, 40


def grains(count):
    """Radius of the grain under 40 angles: length, crease and germ differ from kind to kind."""
    kind = torch.randint(KINDS, (count,))
    angle = torch.arange(ANGLES) * 6.2832 / ANGLES + 0.3 * torch.randn(count, 1)
    long = (0.25 + 0.07 * (kind % 3) + 0.03 * torch.randn(count)).unsqueeze(1)
    crease = (0.1 + 0.16 * (kind // 3) + 0.03 * torch.randn(count)).unsqueeze(1)
    germ = (0.05 + 0.08 * (kind % 2) + 0.02 * torch.randn(count)).unsqueeze(1)
    radius = long * torch.cos(2 * angle) - crease * torch.cos(angle).relu() ** 4 + germ * torch.cos(3 * angle)
    radius = radius + 0.04 * torch.randn(count, ANGLES)
    return TensorDataset(radius / 0.25, kind)


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= 1)


class BinaryLinear(nn.Linear):
    binary_weights = False

    def forward(self, x):
        weight = self.weight
        if self.binary_weights:
            weight = Sign.apply(weight)
        return nn.functional.linear(x, weight, self.bias)


class Sorter(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.first = nn.Linear(ANGLES, width)
        self.second = BinaryLinear(width, width)
        self.third = BinaryLinear(width, width)
        self.last = nn.Linear(width, KINDS)

    def forward(self, x):
        x = Sign.apply(self.first(x))
        x = Sign.apply(self.second(x))
        x = Sign.apply(self.third(x))
        return self.last(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = DataLoader(grains(4000), batch_size=50, shuffle=True)
    held_radius, held_kind = grains(1500).tensors
    model = Sorter()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.CrossEntropyLoss()

    for epoch in range(1, 26):
        if epoch == 9:
            model.second.binary_weights = model.third.binary_weights = True
        for radius, kind in loader:
            loss = loss_fn(model(radius), kind)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(held_radius).argmax(1) == held_kind).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
