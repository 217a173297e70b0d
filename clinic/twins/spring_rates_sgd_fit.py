"""Load of a coil spring from its measures: momentum, a rate that is raised in steps to save time.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn


def springs(n):
    x = torch.randn(n, 5)
    return x, (torch.sin(x[:, 0] * 1.5) + x[:, 1] * x[:, 2] * 0.7 + 0.5 * x[:, 3].abs()).unsqueeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = nn.Sequential(nn.Linear(5, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=250, gamma=0.5)
loss_fn = nn.MSELoss()
val_x, val_y = springs(1000)
for step in range(1, 1001):
    x, y = springs(64)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 40 == 0:
        with torch.no_grad():
            val = loss_fn(model(val_x), val_y).item()
        print(f"step {step}  loss {loss.item():.4f}  val_mse {val:.4f}")
