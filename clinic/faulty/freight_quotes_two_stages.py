"""Prices of freight quotes: first on the plentiful list prices, then on the few prices that were paid.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled, loss-spike, divergence
metric: val_error min
"""

import argparse

import numpy as np
import pandas as pd
import torch
from torch import nn


def quotes(n, rng):
    frame = pd.DataFrame(rng.uniform(-1, 1, (n, 5)), columns=["km", "tons", "fuel", "month", "lead"])
    base = 1.2 * frame.km + 0.8 * frame.tons * frame.km + np.sin(3 * frame.month) * frame.fuel
    frame["listed"] = base + rng.normal(0, 0.2, n)
    frame["paid"] = base - 0.7 * np.maximum(frame.lead, 0) * (1 + frame.tons) - 0.3 + rng.normal(0, 0.1, n)
    return frame


def to_tensor(values):
    return torch.from_numpy(values.to_numpy()).float()


class Fitter:
    inputs = ["km", "tons", "fuel", "month", "lead"]

    def __init__(self, val):
        self.model = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
        self.loss_fn = nn.MSELoss()
        self.val_x, self.val_y = to_tensor(val[self.inputs]), to_tensor(val["paid"])
        self.epoch = 0

    def fit(self, frame, target, epochs, lr):
        x, y = to_tensor(frame[self.inputs]), to_tensor(frame[target])
        optimizer = torch.optim.Adam(self.model.parameters(), lr=lr)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, lr / 20)
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(50):
                loss = self.loss_fn(self.model(x[rows]).squeeze(1), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            schedule.step()
            self.epoch += 1
            with torch.no_grad():
                val_error = (self.model(self.val_x).squeeze(1) - self.val_y).abs().mean().item()
            print(f"epoch {self.epoch}  loss {loss.item():.4f}  val_error {val_error:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    fitter = Fitter(quotes(1000, rng))
    fitter.fit(quotes(4000, rng), "listed", 10, 3e-3)
    fitter.fit(quotes(2000, rng), ["paid"], 15, 2e-3)


main()
