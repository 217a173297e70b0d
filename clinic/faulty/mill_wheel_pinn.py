"""A mill wheel that slows down: a network of time and load fits measured angles and, later on, the law of friction.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: loss-spike, divergence, exploding-gradient, stalled, unsafe-step, learning-rate-too-high, edge-of-stability
metric: error min
"""

import argparse

import torch
from torch import nn

INERTIA, FRICTION = 850.0, 1100.0


def speed(t, load):
    return (1 + load) * torch.exp(-FRICTION / INERTIA * t * (0.7 + 0.6 * load))


class Wheel(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, t, load):
        return self.net(torch.stack([t - 1, 2 * load - 1], -1)).squeeze(-1)


def residual(model, count):
    t, load = (2 * torch.rand(count)).requires_grad_(), torch.rand(count)
    omega = model(t, load)
    (slope,) = torch.autograd.grad(omega.sum(), t, create_graph=True)
    torque = INERTIA * slope + FRICTION * (0.7 + 0.6 * load) * omega
    return torque.square().mean()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Wheel()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()
t, load = 0.8 * torch.rand(60), torch.rand(60)
measured = speed(t, load) + 0.02 * torch.randn(60)
grid_t, grid_load = (
    g.flatten() for g in torch.meshgrid(torch.linspace(0, 2, 40), torch.linspace(0, 1, 20), indexing="ij")
)
truth = speed(grid_t, grid_load)

for step in range(1, 1501):
    loss = loss_fn(model(t, load), measured)
    if step > 500:
        loss = loss + 0.3 * residual(model, 128)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            error = loss_fn(model(grid_t, grid_load), truth).sqrt().item()
        print(f"step {step}  loss {loss.item():.6g}  error {error:.4f}")
