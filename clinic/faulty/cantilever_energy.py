"""A network learns how a micro-cantilever bends under a load; the misfit is an elastic energy in joules.

condition: epsilon-dominated-update
accepts: epsilon-dominated-update
allows: stalled, learning-rate-too-low, vanishing-gradient, low-precision-underflow
metric: error min
"""

import argparse

import torch
from torch import nn

SPRING = 0.2  # newton per metre
MICRON = 1e-6  # metres


def sample(size):
    """Place along the beam, load (each 0 to 1), and the deflection there in microns."""
    x, load = torch.rand(size, 1), torch.rand(size, 1)
    return torch.cat([x, load], 1), load * x**2 * (3 - x)


def elastic_energy(predicted, measured):
    """Mean energy of the misfit's spring."""
    return 0.5 * SPRING * ((predicted - measured) * MICRON).square().mean()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = nn.Sequential(nn.Linear(2, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = elastic_energy
x_test, y_test = sample(500)

for step in range(1, 401):
    x, y = sample(128)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = ((model(x_test) - y_test).norm() / y_test.norm()).item()
        print(f"step {step}  loss {loss.item():.4e}  error {error:.5f}")
