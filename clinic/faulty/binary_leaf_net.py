"""Species of a leaf from its outline, with a network whose hidden units are -1 or 1 so that it fits on a small chip.

condition: surrogate-mismatch
accepts: surrogate-mismatch
allows: vanishing-gradient, stalled, saturated-units, exploding-gradient, divergence
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SPECIES, ANGLES, EPOCHS = 8, 64, 40


def outlines(n):
    """Radius of the leaf's edge over the angle, in polar form; the leaf lies about upright."""
    kind = torch.randint(SPECIES, (n,))
    angle = torch.linspace(0, 2 * math.pi, ANGLES + 1)[:-1] + 0.25 * torch.randn(n, 1)
    lobes = (3 + kind % 4)[:, None]
    depth = torch.where(kind < 4, 0.16, 0.3)[:, None] * (0.8 + 0.4 * torch.rand(n, 1))
    slim = 0.35 * torch.rand(n, 1)
    radius = 1 + slim * (2 * angle).cos() + depth * (lobes * angle).cos() + 0.16 * torch.randn(n, ANGLES)
    return (radius - 1) / 0.3, kind


class SoftSign(torch.autograd.Function):
    """sign(x); backward uses the slope of tanh(beta x)."""

    @staticmethod
    def forward(ctx, x, beta):
        ctx.save_for_backward(x)
        ctx.beta = beta
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.beta * (1 - torch.tanh(ctx.beta * x) ** 2), None


class LeafNet(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.beta = 1.0
        self.layers = nn.ModuleList([nn.Linear(ANGLES, width), nn.Linear(width, width), nn.Linear(width, width)])
        self.norms = nn.ModuleList([nn.BatchNorm1d(width) for _ in self.layers])
        self.out = nn.Linear(width, SPECIES)

    def forward(self, x):
        for layer, norm in zip(self.layers, self.norms):
            x = SoftSign.apply(norm(layer(x)), self.beta)
        return self.out(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = outlines(4000)
    val_x, val_y = outlines(1000)
    model = LeafNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for epoch in range(1, EPOCHS + 1):
        model.beta = 1.32**epoch
        model.train()
        total = 0.0
        for batch in torch.randperm(len(x)).split(100):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch) / len(x)
        schedule.step()
        model.eval()
        with torch.no_grad():
            val_error = (model(val_x).argmax(1) != val_y).float().mean()
        print(f"epoch {epoch}  loss {total:.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
