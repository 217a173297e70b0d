"""Demand for fuel by hour and weather, with a GRU: years of one town, then a fine-tune on the first weeks of another.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Town:
    def __init__(self, rng, lag, weekend, cold):
        self.rng, self.lag, self.weekend, self.cold = rng, lag, weekend, cold

    def days(self, count, hours=24):
        """Weather, clock and day of the week by the hour; demand answers to the weather some hours ago."""
        noise = torch.randn(count, hours + 8, generator=self.rng)
        weather = torch.nn.functional.avg_pool1d(noise[:, None], 5, 1, 2)[:, 0] * 2
        clock = torch.arange(hours) / hours * 6.283
        free = (torch.rand(count, 1, generator=self.rng) < 0.3).float().expand(count, hours)
        past = weather[:, 8 - self.lag : 8 - self.lag + hours]
        demand = torch.sin(clock - 1) * (1 - self.weekend * free) + self.cold * past + 0.3 * past * free
        x = torch.stack([weather[:, 8:], clock.sin().expand_as(free), clock.cos().expand_as(free), free], 2)
        return x, demand + 0.1 * torch.randn(demand.shape, generator=self.rng)


class Forecaster(nn.Module):
    def __init__(self, units=40):
        super().__init__()
        self.cell = nn.GRU(4, units, batch_first=True)
        self.out = nn.Linear(units, 1)

    def forward(self, x):
        return self.out(self.cell(x)[0]).squeeze(2)


class Job:
    def __init__(self, model, town, lr, steps):
        self.model, self.town, self.steps = model, town, steps
        self.val = town.days(300)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        self.decay = torch.optim.lr_scheduler.LinearLR(self.optimizer, 1.0, 0.05, steps)

    def run(self, name):
        for step in range(1, self.steps + 1):
            x, demand = self.town.days(32)
            loss = (self.model(x) - demand)[:, 8:].square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.decay.step()
            if step % 25 == 0:
                with torch.no_grad():
                    val_loss = (self.model(self.val[0]) - self.val[1])[:, 8:].square().mean().item()
                print(f"{name}, step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = Forecaster()
    Job(model, Town(rng, 2, 0.5, 0.6), 5e-3, 250).run("harbour town")
    Job(model, Town(rng, 4, -0.3, -0.5), 3e-3, 300).run("hill town")


if __name__ == "__main__":
    main()
