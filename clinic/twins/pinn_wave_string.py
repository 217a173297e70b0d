"""A physics-informed network for u'' = -k² sin(kx) on a string that is held at both ends.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

k = 3 * math.pi
grid = torch.linspace(0, 1, 101).unsqueeze(1)
solution = torch.sin(k * grid)
ends = torch.tensor([[0.0], [1.0]])


class Field(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        nn.init.uniform_(self.net[0].weight, -12, 12)
        nn.init.uniform_(self.net[0].bias, -6, 6)

    def forward(self, x):
        return self.net(x)


model = Field()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)

for step in range(1, 801):
    x = torch.rand(64, 1, requires_grad=True)
    u = model(x)
    slope = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    bend = torch.autograd.grad(slope.sum(), x, create_graph=True)[0]
    residual = (bend + k**2 * torch.sin(k * x)).square().mean()
    boundary = model(ends).square().mean()
    loss = residual / k**4 + boundary
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = (model(grid) - solution).square().mean().sqrt().item()
        print(f"step {step}  residual {residual.item():.4g}  boundary {boundary.item():.4g}  error {error:.4f}")
