"""A physics-informed network solves the heat equation on a rod: sine at the start, cold ends.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

DIFFUSIVITY = 0.1


class Field(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x, t):
        return self.net(torch.cat([x, t], dim=1))


def residual(model, x, t):
    """How far the network is from the heat equation, u_t - k u_xx."""
    x.requires_grad_()
    t.requires_grad_()
    u = model(x, t)
    u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
    (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
    return u_t - DIFFUSIVITY * u_xx


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = Field()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x_test, t_test = torch.rand(400, 1), torch.rand(400, 1)
    exact = torch.sin(math.pi * x_test) * torch.exp(-DIFFUSIVITY * math.pi**2 * t_test)

    for step in range(1, 401):
        x, t = torch.rand(64, 1), torch.rand(64, 1)
        ends = torch.randint(2, (64, 1)).float()
        equation = residual(model, x, t).square().mean()
        start = (model(x, torch.zeros(64, 1)) - torch.sin(math.pi * x)).square().mean()
        boundary = model(ends, torch.rand(64, 1)).square().mean()
        loss = equation + 5 * start + 5 * boundary
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = ((model(x_test, t_test) - exact).norm() / exact.norm()).item()
            print(f"step {step}  loss {loss.item():.5f}  error {error:.4f}")


if __name__ == "__main__":
    main()
