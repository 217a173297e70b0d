"""A highway network of twenty layers learns a wavy surface over a square; momentum SGD.

condition: vanishing-gradient
accepts: vanishing-gradient, off-critical-initialisation
allows: off-critical-initialisation, stalled, learning-rate-too-low
metric: mse min
"""

import argparse

import torch
from torch import nn


class Highway(nn.Module):
    """A gate chooses for each unit how much of it is transformed and how much passes through."""

    def __init__(self, width, gate_bias):
        super().__init__()
        self.transform = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, gate_bias)

    def forward(self, x):
        t = torch.sigmoid(self.gate(x))
        return t * torch.tanh(self.transform(x)) + (1 - t) * x


class HighwayNet(nn.Module):
    def __init__(self, width=32, depth=20, gate_bias=0.0):
        super().__init__()
        self.enter = nn.Linear(2, width)
        self.trunk = nn.Sequential(*(Highway(width, gate_bias) for _ in range(depth)))
        self.leave = nn.Linear(width, 1)

    def forward(self, p):
        return self.leave(self.trunk(torch.tanh(self.enter(p)))).squeeze(-1)


def surface(p):
    x, y = p.unbind(-1)
    return torch.sin(2.5 * x + y) + 0.5 * torch.cos(3 * y) * x


def batches(count, size, noise):
    for _ in range(count):
        p = torch.rand(size, 2) * 3 - 1.5
        yield p, surface(p) + noise * torch.randn(size)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args(argv).seed)
    model = HighwayNet(gate_bias=2.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    loss_fn = nn.MSELoss()
    p_test = torch.rand(1000, 2) * 3 - 1.5
    for step, (p, z) in enumerate(batches(400, 128, 0.05), 1):
        optimizer.zero_grad()
        loss = loss_fn(model(p), z)
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                mse = loss_fn(model(p_test), surface(p_test))
            print(f"step {step}  loss {loss.item():.4f}  mse {mse.item():.4f}")


if __name__ == "__main__":
    main()
