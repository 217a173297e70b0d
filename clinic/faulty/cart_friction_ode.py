"""A cart on a spring and a rough rail: constants of its equation of motion and a small network, from measured runs.

condition: detached-parameters
accepts: detached-parameters
allows: stalled
metric: val_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
DT, STEPS = 0.05, 40


def roll(force, start):
    """Heun's rule for x' = v, v' = force(x, v); the whole path of every run."""
    x, v = start[:, :1], start[:, 1:]
    path = []
    for _ in range(STEPS):
        a = force(x, v)
        x2, v2 = x + DT * v, v + DT * a
        a2 = force(x2, v2)
        x, v = x + 0.5 * DT * (v + v2), v + 0.5 * DT * (a + a2)
        path.append(torch.cat([x, v], 1))
    return torch.stack(path, 1)


def true_force(x, v):
    return -2.0 * x - 1.1 * v - 0.9 * torch.tanh(5 * v) * 0.8 - 0.7 * x**3


def measured_runs(count):
    start = torch.randn(count, 2)
    with torch.no_grad():
        path = roll(true_force, start)
    return start, path + 0.01 * torch.randn_like(path)


class CartModel(nn.Module):
    """Stiffness, drag and dry friction are physics; the network takes what the spring adds beyond."""

    def __init__(self):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(1.0))
        self.drag = nn.Parameter(torch.tensor(0.1))
        self.dry = nn.Parameter(torch.tensor(0.1))
        self.beyond = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x, v):
        k, c, d = torch.tensor([self.stiffness, self.drag, self.dry])
        return -k * x - c * v - d * torch.tanh(5 * v) + self.beyond(x)


start, path = measured_runs(256)
val_start, val_path = measured_runs(64)
model = CartModel()
constants = [model.stiffness, model.drag, model.dry]
optimizer = torch.optim.Adam([{"params": model.beyond.parameters()}, {"params": constants, "lr": 2e-2}], lr=5e-3)
loss_fn = nn.MSELoss()

for step in range(1, 401):
    rows = torch.randint(len(start), (32,))
    loss = loss_fn(roll(model, start[rows]), path[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_error = loss_fn(roll(model, val_start), val_path).sqrt().item()
        shown = f"k {model.stiffness.item():.3f}  c {model.drag.item():.3f}  d {model.dry.item():.3f}"
        print(f"step {step}  loss {loss.item():.5f}  {shown}  val_error {val_error:.4f}")
