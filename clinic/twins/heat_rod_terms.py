"""How hot is a rod? A network meets the heat equation and nine thermometers; the equation's penalty grows by stages.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

CONDUCT = 0.4


def truth(x, t):
    return torch.sin(math.pi * x) * torch.exp(-CONDUCT * math.pi**2 * t) + 0.5 * torch.sin(2 * math.pi * x) * torch.exp(
        -4 * CONDUCT * math.pi**2 * t
    )


class Rod(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x, t):
        return self.net(torch.stack([2 * x - 1, 4 * t - 1], 1)).squeeze(1)

    def residual(self, x, t):
        x, t = x.requires_grad_(), t.requires_grad_()
        u = self(x, t)
        u_x, u_t = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
        (u_xx,) = torch.autograd.grad(u_x.sum(), x, create_graph=True)
        return u_t - CONDUCT * u_xx


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Rod()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
mse = nn.MSELoss()
places, times = torch.linspace(0, 1, 9), torch.linspace(0, 0.5, 12)
rod_x, rod_t = (grid.flatten() for grid in torch.meshgrid(places, times[:5], indexing="ij"))
measured = truth(rod_x, rod_t)
grid_x, grid_t = (
    g.flatten() for g in torch.meshgrid(torch.linspace(0, 1, 21), torch.linspace(0, 0.5, 21), indexing="ij")
)

penalty, factor = 0.01, 8.0
for step in range(1, 501):
    physics = model.residual(torch.rand(100), 0.5 * torch.rand(100)).square().mean()
    fit = mse(model(rod_x, rod_t), measured)
    loss = fit + penalty * physics
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 60 == 0 and penalty < 0.05:
        penalty *= factor
    if step % 15 == 0:
        with torch.no_grad():
            error = (model(grid_x, grid_t) - truth(grid_x, grid_t)).square().mean().sqrt().item()
        print(f"step {step}  fit {fit.item():.5f}  physics {physics.item():.5f}  error {error:.4f}")
