"""Loads on a mast: a smooth network of strain readings is polished by a quasi-Newton method after a first fit.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def mast(count):
    strain = torch.rand(count, 4) * 2 - 1
    load = torch.sin(2 * strain[:, 0] + strain[:, 1]) * (1 + 0.5 * strain[:, 2]) + 0.7 * strain[:, 3] ** 2
    return strain, load[:, None] - 0.2 + 0.03 * torch.randn(count, 1)


x, y = mast(1500)
val_x, val_y = mast(600)
model = nn.Sequential(nn.Linear(4, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))
loss_fn = nn.MSELoss()


def report(step, loss):
    with torch.no_grad():
        val_rmse = loss_fn(model(val_x), val_y).sqrt().item()
    print(f"step {step}  loss {float(loss):.6f}  val_rmse {val_rmse:.5f}")


optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for step in range(1, 401):
    rows = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 40 == 0:
        report(step, loss)

optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=10, history_size=10, line_search_fn="strong_wolfe")
for step in range(401, 426):
    rows = slice(None)

    def closure():
        optimizer.zero_grad()
        loss = loss_fn(model(x[rows]), y[rows])
        loss.backward()
        return loss

    report(step, optimizer.step(closure))
