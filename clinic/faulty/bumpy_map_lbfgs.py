"""A map of bumps from two hundred and fifty soundings: a small tanh network, L-BFGS with a closure.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, unsafe-step, loss-spike, learning-rate-too-high, stalled, non-finite, saturated-units
metric: val_loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

bumps = torch.rand(6, 2) * 2 - 1
heights = torch.tensor([1.0, -0.7, 0.5, 0.9, -1.0, 0.6])


def depth(x):
    return (heights * torch.exp(-6 * (x[:, None] - bumps).square().sum(2))).sum(1, keepdim=True)


x = torch.rand(250, 2) * 2 - 1
y = depth(x) + 0.01 * torch.randn(250, 1)
x_val = torch.rand(1000, 2) * 2 - 1
y_val = depth(x_val)

model = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4, history_size=20, line_search_fn="strong_wolfe")
loss_fn = nn.MSELoss()


def closure():
    loss = loss_fn(model(x), y)
    loss.backward()
    return loss


for step in range(1, 161):
    loss = optimizer.step(closure)
    if step % 5 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(x_val), y_val).item()
        print(f"step {step}  loss {loss.item():.5f}  val_loss {val_loss:.5f}")
