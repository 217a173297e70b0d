"""Stacked autoencoders: each layer learns to rebuild the one below, alone; at last the whole is tuned.

condition: healthy
metric: error min
"""

import argparse
import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn

SIZES = [64, 48, 32, 16]


def pieces():
    down = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(SIZES))
    up = nn.ModuleList(nn.Linear(b, a) for a, b in itertools.pairwise(SIZES))
    return down, up


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.down, self.up = pieces()

    def encode(self, x, depth):
        for layer in self.down[:depth]:
            x = torch.tanh(layer(x))
        return x

    def decode(self, h, depth):
        for layer in reversed(self.up[1:depth]):
            h = torch.tanh(layer(h))
        return self.up[0](h)


def main(seed):
    torch.manual_seed(seed)
    images = torch.tensor(load_digits().data, dtype=torch.float32)[torch.randperm(1797)] / 16
    x, test = images[:1400], images[1400:]
    model = Stack()
    loss_fn = nn.MSELoss()
    done = 0

    def report(loss, depth):
        nonlocal done
        done += 1
        if done % 20 == 0:
            with torch.no_grad():
                error = loss_fn(model.decode(model.encode(test, depth), depth), test).item()
            print(f"step {done}  stage {depth}  loss {loss.item():.4f}  error {error:.5f}")

    for depth in range(1, len(SIZES)):
        layers = [model.down[depth - 1], model.up[depth - 1]]
        optimizer = torch.optim.Adam([p for layer in layers for p in layer.parameters()], lr=4e-3)
        for _ in range(100):
            with torch.no_grad():
                below = model.encode(x[torch.randint(1400, (64,))], depth - 1)
            spoilt = below + 0.15 * torch.randn_like(below)
            back = model.up[depth - 1](torch.tanh(model.down[depth - 1](spoilt)))
            loss = loss_fn(back if depth == 1 else torch.tanh(back), below)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            report(loss, depth)

    depth = len(SIZES) - 1
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(400):
        rows = x[torch.randint(1400, (64,))]
        loss = loss_fn(model.decode(model.encode(rows, depth), depth), rows)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        report(loss, depth)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
