"""Temperature of a square plate that is heated in its middle and held at zero on its rim: a physics-informed network.

condition: healthy
metric: rel_error min
"""

import argparse
import math

import torch
from torch import nn

CONDUCTIVITY = 50.0


def exact(xy):
    x, y = xy.unbind(-1)
    return torch.sin(math.pi * x) * torch.sin(math.pi * y) + 0.2 * torch.sin(2 * math.pi * x) * torch.sin(math.pi * y)


def heat(xy):
    x, y = xy.unbind(-1)
    first = 2 * math.pi**2 * torch.sin(math.pi * x) * torch.sin(math.pi * y)
    return CONDUCTIVITY * (first + 0.2 * 5 * math.pi**2 * torch.sin(2 * math.pi * x) * torch.sin(math.pi * y))


class Plate(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, 1),
        )

    def forward(self, xy):
        return self.net(2 * xy - 1).squeeze(-1)


def residual(model, xy):
    xy = xy.requires_grad_(True)
    u = model(xy)
    grad = torch.autograd.grad(u.sum(), xy, create_graph=True)[0]
    u_xx = torch.autograd.grad(grad[:, 0].sum(), xy, create_graph=True)[0][:, 0]
    u_yy = torch.autograd.grad(grad[:, 1].sum(), xy, create_graph=True)[0][:, 1]
    return (u_xx + u_yy + heat(xy) / CONDUCTIVITY) / (2 * math.pi**2)


def rim(n):
    points = torch.rand(n, 2)
    side = torch.randint(2, (n,))
    points[torch.arange(n), side] = torch.randint(2, (n,)).float()
    return points


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    line = torch.linspace(0, 1, 31)
    grid = torch.cartesian_prod(line, line)
    model = Plate()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    for step in range(1, 1201):
        loss_heat = residual(model, torch.rand(128, 2)).square().mean()
        loss_rim = model(rim(64)).square().mean()
        loss = loss_heat + 5 * loss_rim
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 60 == 0:
            with torch.no_grad():
                rel_error = ((model(grid) - exact(grid)).norm() / exact(grid).norm()).item()
            print(f"step {step}  heat {loss_heat.item():.4e}  rim {loss_rim.item():.4e}  rel_error {rel_error:.4f}")


if __name__ == "__main__":
    main()
