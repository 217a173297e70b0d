"""How deep the ruts of a gravel road become within a year, from traffic, weather and material; a small regression network.

condition: healthy
metric: val_mae min
"""

import argparse

import numpy as np
import torch
from torch import nn


class RoadData:
    names = ["trucks", "cars", "rain", "frost", "slope", "clay", "stone_size", "graded"]

    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        trucks, cars = rng.lognormal(3, 0.6, n), rng.lognormal(5, 0.6, n)
        rain, frost = rng.gamma(6, 110, n), rng.poisson(25, n)
        slope, clay = rng.exponential(3, n), rng.uniform(2, 25, n)
        stone, graded = rng.uniform(8, 40, n), rng.integers(0, 4, n)
        rut = (
            0.25 * trucks**0.8 * (1 + clay / 15 * rain / 700) / (1 + stone / 30)
            + 0.004 * cars
            + 0.15 * frost * (clay > 12)
            + 0.5 * slope
        )
        rut = rut * 0.85**graded * rng.lognormal(0, 0.08, n)
        self.x = np.stack([np.log(trucks), np.log(cars), rain, frost, slope, clay, stone, graded], 1)
        self.y = rut

    def tensors(self):
        z = (self.x - self.x.mean(0)) / self.x.std(0)
        t = (self.y - self.y.mean()) / self.y.std()
        return torch.tensor(z, dtype=torch.float32), torch.tensor(t, dtype=torch.float32).unsqueeze(1)


class Trainer:
    def __init__(self, model, optimizer, loss_fn, batch_size=40):
        self.model, self.optimizer, self.loss_fn, self.batch_size = model, optimizer, loss_fn, batch_size

    def fit_epoch(self, x, y):
        self.model.train()
        total = 0.0
        for rows in torch.randperm(len(x)).split(self.batch_size):
            self.optimizer.zero_grad()
            loss = self.loss_fn(self.model(x[rows]), y[rows])
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(rows)
        return total / len(x)

    @torch.no_grad()
    def mae(self, x, y):
        self.model.eval()
        return (self.model(x) - y).abs().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=2e-2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    x, y = RoadData(3000, args.seed).tensors()
    model = nn.Sequential(nn.Linear(8, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    trainer = Trainer(
        model, torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4), nn.MSELoss()
    )
    for epoch in range(1, 31):
        loss = trainer.fit_epoch(x[:2400], y[:2400])
        print(f"epoch {epoch}  loss {loss:.4f}  val_mae {trainer.mae(x[2400:], y[2400:]):.4f}")


if __name__ == "__main__":
    main()
