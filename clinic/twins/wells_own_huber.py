"""Depth of the ground water from maps and rain, from wells of which some are logged wrongly; own robust loss.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Huber(torch.autograd.Function):
    """Quadratic for small errors, linear for large ones; the mean over the batch."""

    @staticmethod
    def forward(ctx, prediction, target, delta):
        error = prediction - target
        ctx.save_for_backward(error)
        ctx.delta = delta
        size = error.abs()
        return torch.where(size <= delta, 0.5 * error**2, delta * (size - 0.5 * delta)).mean()

    @staticmethod
    def backward(ctx, grad):
        (error,) = ctx.saved_tensors
        slope = torch.where(error.abs() <= ctx.delta, error, ctx.delta * error.sign())
        return grad * slope / error.numel(), None, None


class WellNet(nn.Module):
    def __init__(self, inputs, hidden=64):
        super().__init__()
        self.inward = nn.Linear(inputs, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.outward = nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.nn.functional.elu(self.inward(x))
        h = torch.nn.functional.elu(self.middle(h)) + h
        return self.outward(h)[:, 0]


def wells(n, generator, wrong=0.0):
    x = torch.randn(n, 7, generator=generator)
    depth = x[:, 0] + torch.sin(2 * x[:, 1]) + 0.5 * x[:, 2] * x[:, 3] - 0.4 * x[:, 4].abs()
    depth = depth + 0.15 * torch.randn(n, generator=generator)
    swapped = torch.rand(n, generator=generator) < wrong
    depth = torch.where(swapped, depth + 8 * torch.randn(n, generator=generator), depth)
    return x, depth / 2


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x, y = wells(1500, generator, wrong=0.06)
    val_x, val_y = wells(500, generator)
    model = WellNet(7)
    loss_fn = Huber.apply
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    step = 0
    for _ in range(12):
        for rows in torch.randperm(len(x), generator=generator).split(50):
            step += 1
            loss = loss_fn(model(x[rows]), y[rows], 0.8)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 15 == 0:
                with torch.no_grad():
                    val_error = (model(val_x) - val_y).abs().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
