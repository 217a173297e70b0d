"""Travel times of delivery vans between quarters of a town: a few hundred steps of Adam, then L-BFGS to the end.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: divergence, stalled, loss-spike, unsafe-step, exploding-gradient, dead-units, non-finite, saturated-units
metric: val_error min
"""

import argparse

import torch
from torch import nn


def tours(count, rng):
    place = torch.rand(count, 4, generator=rng) * 2 - 1
    hour = torch.rand(count, 1, generator=rng) * 2 - 1
    way = ((place[:, :2] - place[:, 2:]) ** 2).sum(1, keepdim=True).sqrt()
    jam = torch.exp(-4 * (place[:, :1] + place[:, 2:3]) ** 2) * torch.cos(3 * hour)
    minutes = way * (1 + 0.7 * jam) + 0.3 * torch.sin(3 * place[:, 3:4]) - 1
    return torch.cat([place, hour], 1), minutes + 0.05 * torch.randn(count, 1, generator=rng)


def make_net(width=24):
    return nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1))


class Fitting:
    def __init__(self, seed):
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        self.x, self.y = tours(3000, rng)
        self.val = tours(1500, rng)
        self.model, self.loss_fn = make_net(), nn.MSELoss()

    def report(self, step, loss):
        with torch.no_grad():
            val_error = (self.model(self.val[0]) - self.val[1]).abs().mean().item()
        print(f"step {step}  loss {loss.item():.5f}  val_error {val_error:.5f}")

    def rough(self, steps):
        optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-3)
        for step in range(1, steps + 1):
            rows = torch.randint(0, len(self.x), (100,))
            optimizer.zero_grad()
            loss = self.loss_fn(self.model(self.x[rows]), self.y[rows])
            loss.backward()
            optimizer.step()
            if step % 25 == 0:
                self.report(step, loss)

    def polish(self, first, steps):
        optimizer = torch.optim.LBFGS(self.model.parameters(), lr=0.5, max_iter=5, history_size=10)

        def closure():
            loss = self.loss_fn(self.model(self.x), self.y)
            loss.backward()
            return loss

        for step in range(first, first + steps):
            loss = optimizer.step(closure)
            if step % 10 == 0:
                self.report(step, loss)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    fitting = Fitting(parser.parse_args().seed)
    fitting.rough(300)
    fitting.polish(301, 200)


main()
