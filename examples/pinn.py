"""A physics-informed network that solves the heat equation u_t = 0.1 u_xx from the equation alone.

python examples/pinn.py                   # some five seconds on one core
python examples/pinn.py --broadcast-loss  # ruined: every residual is compared with every target
"""

import argparse
import itertools
import math

import torch
from torch import nn

DIFFUSIVITY = 0.1


class Network(nn.Module):
    def __init__(self, width, depth, scale):
        super().__init__()
        self.scale = scale
        sizes = [2] + [width] * depth
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))
        self.head = nn.Linear(width, 1)
        for layer in [*self.hidden, self.head]:
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x, t):
        h = self.scale * torch.cat([x, t], dim=1)
        for layer in self.hidden:
            h = torch.tanh(layer(h))
        return self.head(h)


def slope(of, along):
    return torch.autograd.grad(of.sum(), along, create_graph=True)[0]


def exact(x, t):
    return -torch.exp(-DIFFUSIVITY * math.pi**2 * t) * torch.sin(math.pi * x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3, help="learning rate of Adam (default: %(default)s)")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--edge-weight", type=float, default=10.0, help="of start and boundary (default: %(default)s)")
    parser.add_argument("--unscaled-inputs", action="store_true", help="mistake: x and t count in thousandths")
    parser.add_argument("--broadcast-loss", action="store_true", help="mistake: (N, 1) values against (N,) targets")
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    model = Network(args.width, args.depth, 1000.0 if args.unscaled_inputs else 1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps, eta_min=args.lr / 20)

    start = torch.linspace(-1, 1, 100)[:, None]
    at_start = exact(start, torch.zeros_like(start))
    times = torch.linspace(0, 1, 50)[:, None]
    edges = torch.cat([torch.full_like(times, -1.0), torch.full_like(times, 1.0)])

    for step in range(1, args.steps + 1):
        x = (2 * torch.rand(400, 1) - 1).requires_grad_()
        t = torch.rand(400, 1).requires_grad_()
        u = model(x, t)
        equation = (slope(u, t) - DIFFUSIVITY * slope(slope(u, x), x)).square().mean()
        wanted = at_start.squeeze(1) if args.broadcast_loss else at_start
        beginning = (model(start, torch.zeros_like(start)) - wanted).square().mean()
        boundary = model(edges, times.repeat(2, 1)).square().mean()
        loss = equation + args.edge_weight * (beginning + boundary)
        if not args.no_zero_grad:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step == 1 or step % 50 == 0:
            print(f"step {step:4d}  loss {loss.item():.5f}  equation {equation.item():.5f}", flush=True)

    with torch.no_grad():
        x, t = (g.reshape(-1, 1) for g in torch.meshgrid(start[:, 0], times[:, 0], indexing="ij"))
        error = (model(x, t) - exact(x, t)).norm() / exact(x, t).norm()
    print(f"relative error as validation loss {error.item():.3f}")


if __name__ == "__main__":
    main()
