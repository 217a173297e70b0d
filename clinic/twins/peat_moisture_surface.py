"""Moisture of a peat bog over its map: a network of sines and tanh units, with more wells as the survey goes on.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Switch(nn.Module):
    """A tanh that is made steeper step by step, so that the hidden code can be stored in bits."""

    def __init__(self):
        super().__init__()
        self.slope = 1.0

    def forward(self, h):
        return torch.tanh(self.slope * h)


def bog(n):
    at = 2 * torch.rand(n, 2) - 1
    depth = torch.sin(3 * at[:, 0] + at[:, 1]) + torch.cos(4 * at[:, 1]) * at[:, 0]
    ditch = torch.exp(-12 * (at[:, 0] - 0.4 * torch.sin(3 * at[:, 1])) ** 2)
    return at * 1.7, depth - 1.5 * ditch + 0.05 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    wells, moisture = bog(5000)
    test, truth = bog(1500)
    switch = Switch()
    model = nn.Sequential(
        nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), switch, nn.Linear(64, 32), switch, nn.Linear(32, 1)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    for step in range(1, 1601):
        known = torch.randint(min(5000, 1000 + 4 * step), (80,))
        loss = loss_fn(model(wells[known]).squeeze(1), moisture[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step > 500:
            switch.slope = min(2.0, switch.slope * 1.001)
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(test).squeeze(1), truth).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
