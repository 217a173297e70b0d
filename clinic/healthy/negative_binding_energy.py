"""Ground state of a particle in a double well by a neural wave function, first roughly, then finely.

condition: healthy
metric: energy min
"""

import argparse

import torch
from torch import nn


class WaveFunction(nn.Module):
    """The logarithm of an even, positive wave function; far from the wells it falls like a Gaussian."""

    def __init__(self, width=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.spread = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        z = x.abs().unsqueeze(1) / 2
        return self.net(z).squeeze(1) - 0.1 * self.spread.square() * x.square()


def potential(x):
    def well(at, depth, width):
        return -depth / torch.cosh((x - at) / width).square()

    return well(-2.0, 4.0, 0.7) + well(2.0, 4.0, 0.7) + 0.05 * x.square()


def energy(model, x):
    log_psi = model(x)
    slope = torch.autograd.grad(log_psi.sum(), x, create_graph=True)[0]
    density = torch.softmax(2 * log_psi, 0)
    return (density * (0.5 * slope.square() + potential(x))).sum()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = WaveFunction()
    grid = torch.linspace(-8, 8, 641, requires_grad=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for step in range(1, 601):
        x = (grid.detach() + 0.0125 * (2 * torch.rand(()) - 1)).requires_grad_()
        loss = energy(model, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            print(f"step {step}  energy {energy(model, grid).item():.5f}")

    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=10, history_size=30, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = energy(model, grid)
        loss.backward()
        return loss

    for step in range(601, 621):
        optimizer.step(closure)
        if step % 2 == 0:
            print(f"step {step}  energy {energy(model, grid).item():.5f}")


main()
