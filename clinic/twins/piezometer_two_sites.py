"""Pore pressure in an embankment from rain and reservoir level: learned at one dam, then refined at a second one.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
import torch.nn as nn


class Pressure(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.read = nn.Linear(hidden, 1)

    def forward(self, weather):
        return self.read(self.gru(weather)[0]).squeeze(-1)


def dam(count, lag, rain_share, length=28):
    """Scaled rain and level of four weeks, the scaled pressure, and each sensor's standard error in pascal."""
    rain = torch.relu(torch.randn(count, length) - 0.5)
    level = torch.randn(count, 1) + 0.3 * torch.randn(count, length).cumsum(1)
    pressure, now = [], torch.zeros(count)
    for t in range(length):
        now = (1 - 1 / lag) * now + (rain_share * rain[:, t] + (1 - rain_share) * torch.tanh(level[:, t])) / lag
        pressure.append(now)
    pascal = torch.tensor([150.0, 300.0, 600.0])[torch.randint(3, (count, 1))]
    pressure = 3 * torch.stack(pressure, 1)
    return torch.stack([rain, level], 2), pressure + pascal / 4000 * torch.randn(count, length), pascal


def rmse(model, weather, pressure):
    with torch.no_grad():
        return (model(weather) - pressure).square().mean().sqrt().item()


def train(model, data, test, steps, rate, scale, done=0):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    weather, pressure, sigma = data
    for step in range(done + 1, done + steps + 1):
        rows = torch.randint(len(weather), (48,))
        weight = (scale / sigma[rows]) ** 2
        loss = (weight * (model(weather[rows]) - pressure[rows]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step}  loss {loss.item():.3e}  val_rmse {rmse(model, test[0], test[1]):.4f}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--seed", type=int, default=0)
    torch.manual_seed(p.parse_args().seed)
    upper = dam(2400, lag=6.0, rain_share=0.5)
    lower, lower_test = dam(2400, lag=2.5, rain_share=-0.3), dam(500, lag=2.5, rain_share=-0.3)
    upper_test = dam(500, lag=6.0, rain_share=0.5)
    model = Pressure()
    train(model, upper, upper_test, 350, 5e-3, scale=200.0)
    train(model, lower, lower_test, 600, 3e-3, scale=200.0, done=350)


main()
