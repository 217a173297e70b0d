"""Tyre wear from six figures of a lap: a network trained by SGD whose rate is cut on a plateau.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: stalled, learning-rate-too-low
metric: val_error min
"""

import argparse

import torch
from torch import nn


def laps(n):
    x = torch.randn(n, 6)
    heat = torch.tanh(x[:, 0] + 0.5 * x[:, 1] * x[:, 2])
    wear = heat + 0.6 * torch.sin(2 * x[:, 3]) * x[:, 4] + 0.3 * x[:, 5].relu()
    return x, (wear + 0.05 * torch.randn(n)).unsqueeze(1)


def epoch_of(model, loss_fn, optimizer, x, y, size=50):
    total = 0.0
    for rows in torch.randperm(len(x)).split(size):
        optimizer.zero_grad()
        loss = loss_fn(model(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(rows)
    return total / len(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train, val = laps(2000), laps(500)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.8)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", factor=0.2, patience=3)
    for epoch in range(1, 41):
        loss = epoch_of(model, loss_fn, optimizer, *train)
        with torch.no_grad():
            val_error = loss_fn(model(val[0]), val[1]).item()
        plateau.step(val_error)
        print(f"epoch {epoch}  loss {loss:.5f}  val_error {val_error:.5f}")


if __name__ == "__main__":
    main()
