"""A deep tanh network fits a Chebyshev polynomial from twenty points by gradient descent with momentum.

condition: healthy
infos: edge-of-stability
metric: loss min
"""

import argparse

import torch
from torch import nn


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    x = torch.linspace(-1, 1, 20).unsqueeze(1)
    y = 8 * x**4 - 8 * x**2 + 1

    model = nn.Sequential(nn.Linear(1, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.MSELoss()

    for step in range(1, 3001):
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 150 == 0:
            print(f"step {step}  loss {loss.item():.6f}")


if __name__ == "__main__":
    main()
