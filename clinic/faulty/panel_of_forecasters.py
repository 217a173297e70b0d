"""Weekly demand in one market after another: a common reading of the product, and a forecaster for each market.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, loss-spike, divergence
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Panel(nn.Module):
    def __init__(self, features, width=48):
        super().__init__()
        self.width = width
        self.common = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.markets = nn.ModuleList()

    def open_market(self):
        forecaster = nn.Sequential(nn.Linear(self.width, 24), nn.SiLU(), nn.Linear(24, 1))
        self.markets.append(forecaster)
        return forecaster

    def forward(self, x, market):
        h = self.common(x)
        every = torch.cat([forecaster(h) for forecaster in self.markets], 1)
        return every.gather(1, market[:, None]).squeeze(1)


class World:
    def __init__(self, rng, markets=4, features=10):
        self.taste = torch.randn(markets, features, generator=rng) / features**0.5
        self.season = torch.randn(markets, features, generator=rng) / features**0.5

    def weeks(self, count, opened, rng):
        x = torch.randn(count, self.taste.shape[1], generator=rng)
        market = torch.randint(0, opened, (count,), generator=rng)
        level = (x * self.taste[market]).sum(1)
        demand = level + torch.sin(2 * (x * self.season[market]).sum(1))
        return x, market, demand + 0.1 * torch.randn(count, generator=rng)


def train(seed, steps=900):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    world = World(rng)
    model, loss_fn = Panel(10), nn.HuberLoss()
    model.open_market()
    model.open_market()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    val = world.weeks(1000, 2, rng)
    for step in range(1, steps + 1):
        if step in (251, 451):
            model.open_market()
            val = world.weeks(1000, len(model.markets), rng)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, 2 * (1 - step / (steps + 1)))
        x, market, demand = world.weeks(64, len(model.markets), rng)
        loss = loss_fn(model(x, market), demand)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                val_error = (model(val[0], val[1]) - val[2]).abs().mean().item()
            print(f"step {step}  markets {len(model.markets)}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
