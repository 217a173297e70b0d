"""The energy of a double pendulum from its angles and speeds: a network written as functions, with its own descent.

condition: divergence
accepts: divergence, exploding-gradient, learning-rate-too-high
allows: saturated-units, unsafe-step, non-finite, loss-spike
metric: val_error min
"""

import argparse
from itertools import pairwise

import torch
import torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SIZES = (4, 64, 64, 1)


def energy(state):
    a, b, da, db = state.unbind(1)
    kinetic = da.square() + 0.5 * db.square() + da * db * torch.cos(a - b)
    return (kinetic - 2 * torch.cos(a) - torch.cos(b)).unsqueeze(1)


def states(count):
    return torch.cat([3.0 * (2 * torch.rand(count, 2) - 1), 1.5 * (2 * torch.rand(count, 2) - 1)], 1)


def start():
    params = {}
    for i, (size_in, size_out) in enumerate(pairwise(SIZES)):
        params[f"w{i}"] = (torch.randn(size_out, size_in) / size_in**0.5).requires_grad_()
        params[f"b{i}"] = torch.zeros(size_out, requires_grad=True)
    return params


def forward(params, x):
    for i in range(len(SIZES) - 1):
        x = F.linear(x, params[f"w{i}"], params[f"b{i}"])
        if i < len(SIZES) - 2:
            x = F.softplus(x) - 0.6931
    return x


@torch.no_grad()
def descend(params, velocity, lr=0.02, momentum=0.9, decay=0.16):
    """A step of momentum descent; the decay acts on the weights themselves, apart from the gradient."""
    for name, p in params.items():
        velocity[name].mul_(momentum).add_(p.grad)
        if name.startswith("w"):
            p.mul_(1 + lr * decay)
        p.sub_(lr * velocity[name])
        p.grad = None


params = start()
velocity = {name: torch.zeros_like(p) for name, p in params.items()}
val = states(500)
val_energy = energy(val)

for step in range(1, 1101):
    x = states(64)
    loss = F.mse_loss(forward(params, x), energy(x))
    loss.backward()
    descend(params, velocity)
    if step % 40 == 0:
        with torch.no_grad():
            val_error = F.mse_loss(forward(params, val), val_energy).item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
