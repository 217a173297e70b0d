"""Fault probability of looms from speed, tension and yarn; plain descent with momentum and a cosine rate.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn

TOTAL = 1200


def looms(n):
    x = torch.rand(n, 4) * 2 - 1
    y = torch.sin(2 * x[:, 0] + x[:, 1]) + x[:, 2] * x[:, 3]
    return x, y.unsqueeze(1)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=0)
    torch.manual_seed(args.parse_args().seed)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=TOTAL)
    loss_fn = nn.MSELoss()
    val_x, val_y = looms(1000)
    for step in range(1, TOTAL + 1):
        x, y = looms(16)
        y = y + 0.8 * torch.randn_like(y)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                val = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val:.4f}")


main()
