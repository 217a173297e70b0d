"""Yield of a two-step reaction over temperature, time and acidity: a smooth network, polished at the end.

condition: unsafe-step
accepts: unsafe-step
allows: divergence, loss-spike, learning-rate-too-high, saturated-units, exploding-gradient, non-finite, stalled
metric: rmse min
"""

import argparse

import torch
from torch import nn


def reactor(n, g):
    x = 2 * torch.rand(n, 3, generator=g) - 1
    k1 = torch.exp(1.5 * x[:, 0] + 0.8 * x[:, 2])
    k2 = k1 * (0.1 + 0.7 * torch.sigmoid(3 * x[:, 0] - 2 * x[:, 2] ** 2))
    t = 1 + x[:, 1]
    amount = k1 / (k2 - k1) * (torch.exp(-k1 * t) - torch.exp(-k2 * t))
    return x, (3 * amount + 0.01 * torch.randn(n, generator=g)).unsqueeze(1)


def surrogate():
    return nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))


def adam_phase(model, x, y, check, steps=900):
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(1, steps + 1):
        rows = torch.randint(len(x), (64,))
        loss = nn.functional.mse_loss(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            check(step, loss.item())
    return steps


def polish(model, x, y, check, done, steps=160):
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, max_iter=4, history_size=10)
    for step in range(done + 1, done + steps + 1):
        rows = torch.randint(len(x), (12,))

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[rows]), y[rows])
            loss.backward()
            return loss

        loss = optimizer.step(closure)
        if step % 10 == 0:
            check(step, loss.item())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    x, y = reactor(800, g)
    test_x, test_y = reactor(800, g)
    model = surrogate()

    def check(step, loss):
        with torch.no_grad():
            rmse = (model(test_x) - test_y).pow(2).mean().sqrt().item()
        print(f"step {step}  loss {loss:.5f}  rmse {rmse:.5f}")

    done = adam_phase(model, x, y, check)
    polish(model, x, y, check, done)


if __name__ == "__main__":
    main()
