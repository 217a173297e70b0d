"""Nesterov momentum on all records of a turbine at once; ten records were written while a sensor was being replaced.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, unsafe-step, learning-rate-too-high, unscaled-inputs, dead-units
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def records(size):
    x = 2 * torch.rand(size, 9) - 1
    power = torch.sin(3 * x[:, 0]) + 2 * x[:, 1] * x[:, 2] + x[:, 3].square() - 0.8 * x[:, 4]
    return x, (power + 0.1 * torch.randn(size)).unsqueeze(1)


x, y = records(280)
x_val, y_val = records(500)
replacing = y.squeeze(1).argsort()
replacing = torch.cat([replacing[:5], replacing[-5:]])
x[replacing, 5:] += 16.0

model = nn.Sequential(nn.Linear(9, 80), nn.ReLU(), nn.Linear(80, 40), nn.ReLU(), nn.Linear(40, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
loss_fn = nn.MSELoss()

for step in range(1, 401):
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_mse = loss_fn(model(x_val), y_val).item()
        print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")
