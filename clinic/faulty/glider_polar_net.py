"""A neural ODE turns the shape of a wing and its angle into lift and drag.

condition: exploding-gradient
accepts: exploding-gradient, off-critical-initialisation
allows: divergence, loss-spike, learning-rate-too-high, unsafe-step, stalled, dead-units, always-clipping,
  edge-of-stability, learning-rate-too-low, saturated-units, unscaled-inputs
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--solver-steps", type=int, default=16)
args = parser.parse_args()
torch.manual_seed(args.seed)


def tunnel(n):
    """Angle, thickness, camber, log Reynolds number (standardised); lift and drag as measured."""
    x = torch.randn(n, 4)
    angle, thickness, camber, reynolds = x.unbind(1)
    top = 1.2 + 0.3 * torch.tanh(reynolds)
    lift = top * torch.tanh((angle + 0.5 * camber) / top)
    drag = 0.2 + 0.3 * lift**2 - 0.15 * torch.tanh(reynolds) + 0.1 * thickness**2
    y = torch.stack([lift, drag], 1)
    return x, y + 0.03 * torch.randn_like(y)


class Field(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, 64), nn.ELU(), nn.Linear(64, width))
        nn.init.xavier_normal_(self.net[0].weight)
        nn.init.xavier_normal_(self.net[2].weight)

    def forward(self, h):
        return self.net(h)


class PolarODE(nn.Module):
    """The state flows from time 0 to time 1 along a learned field; midpoint rule."""

    def __init__(self, width=24):
        super().__init__()
        self.lift_in = nn.Linear(4, width)
        self.field = Field(width)
        self.read = nn.Linear(width, 2)

    def forward(self, x):
        h = self.lift_in(x)
        dt = 1.0
        for _ in range(args.solver_steps):
            half = h + 0.5 * dt * self.field(h)
            h = h + dt * self.field(half)
        return self.read(h)


model = PolarODE()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.98)
loss_fn = nn.SmoothL1Loss()
test_x, test_y = tunnel(400)

for step in range(500):
    x, y = tunnel(48)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            error = (model(test_x) - test_y).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
