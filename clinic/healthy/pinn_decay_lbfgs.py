"""A physics-informed network for a damped spring, m x'' + c x' + k x = 0, trained with LBFGS and a line search.

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

damping, stiffness = 0.6, 4.0
t = torch.linspace(0, 3, 60).unsqueeze(1).requires_grad_(True)
start = torch.zeros(1, 1, requires_grad=True)
frequency = math.sqrt(stiffness - damping**2 / 4)
with torch.no_grad():
    decay = torch.exp(-damping * t / 2)
    exact = decay * (torch.cos(frequency * t) + damping / (2 * frequency) * torch.sin(frequency * t))

model = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=6, history_size=20, line_search_fn="strong_wolfe")


def slope(y, x):
    return torch.autograd.grad(y.sum(), x, create_graph=True)[0]


def closure():
    optimizer.zero_grad()
    x = model(t)
    v = slope(x, t)
    residual = slope(v, t) + damping * v + stiffness * x
    x0 = model(start)
    initial = (x0 - 1).square().mean() + slope(x0, start).square().mean()
    loss = residual.square().mean() + 10 * initial
    loss.backward()
    return loss


for step in range(1, 101):
    loss = optimizer.step(closure)
    if step % 3 == 0:
        with torch.no_grad():
            error = (model(t) - exact).square().mean().sqrt().item()
        print(f"step {step}  loss {loss.item():.5f}  error {error:.5f}")
