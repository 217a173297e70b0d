"""Grades of lemons: a trunk learned on limes stays frozen while a new head warms up, then all of it is tuned gently.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


def fruit(n, colours, mix):
    grade = torch.randint(colours.shape[0], (n,))
    return torch.tanh((colours[grade] + 0.7 * torch.randn(n, 12)) @ mix), grade


def train(model, parameters, data, test, rate, first, last):
    optimizer = torch.optim.AdamW(parameters, lr=rate)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(1.0, k / 40))
    for step in range(first, last + 1):
        rows = torch.randint(len(data[0]), (64,))
        loss = F.cross_entropy(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(test[0]), test[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    mix = torch.randn(12, 24) / 3
    limes, lemons = torch.randn(6, 12), torch.randn(5, 12)
    trunk = nn.Sequential(nn.Linear(24, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU())
    model = nn.Sequential(trunk, nn.Linear(64, 6))
    train(model, model.parameters(), fruit(6000, limes, mix), fruit(1000, limes, mix), 2e-3, 1, 300)
    model[1] = nn.Linear(64, 5)
    data, test = fruit(6000, lemons, mix), fruit(1000, lemons, mix)
    trunk.requires_grad_(False)
    train(model, model[1].parameters(), data, test, 3e-3, 301, 500)
    trunk.requires_grad_(True)
    train(model, model.parameters(), data, test, 5e-4, 501, 800)


main()
