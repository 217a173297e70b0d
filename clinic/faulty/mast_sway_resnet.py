"""Sway of a mast under gusts: a residual network, with the descent and the shrinking of weights done by hand.

condition: divergence
accepts: divergence, exploding-gradient
allows: exploding-gradient, unsafe-step, learning-rate-too-high, non-finite, loss-spike
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, x):
        return x + 0.5 * self.inner(x)


def gusts(count):
    speed, turn, ice, rope = torch.randn(4, count)
    sway = torch.sin(1.5 * speed) * (1 + 0.4 * rope) + 0.5 * torch.relu(ice) * turn - 0.3 * speed * turn
    return torch.stack([speed, turn, ice, rope], 1), (sway + 0.1 * torch.randn(count)).unsqueeze(1)


@torch.no_grad()
def descend(parameters, rate, decay):
    for p in parameters:
        p -= rate * (p.grad - decay * p)
        p.grad = None


def main(seed, steps=1500):
    torch.manual_seed(seed)
    x, y = gusts(8000)
    held, held_y = gusts(2000)
    model = nn.Sequential(nn.Linear(4, 32), Block(32), Block(32), Block(32), nn.Linear(32, 1))
    loss_fn = nn.MSELoss()
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (128,))
        loss = loss_fn(model(x[rows]), y[rows])
        loss.backward()
        descend(model.parameters(), rate=0.03, decay=0.03)
        if step % 50 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(held), held_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
