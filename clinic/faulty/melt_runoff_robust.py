"""Runoff of a snowy catchment from 20 days of weather; squared error first, a robust loss afterwards.

condition: broadcast-loss
accepts: broadcast-loss
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def weather_and_runoff(days):
    day = torch.arange(days).float()
    season = -torch.cos(2 * math.pi * day / 365)
    noise = torch.zeros(days)
    for i in range(1, days):
        noise[i] = 0.8 * noise[i - 1] + 2.0 * torch.randn(())
    warmth = 6 + 11 * season + noise
    rain = torch.relu(torch.randn(days) - 0.5) * 9
    snow, store, flow = 0.0, 5.0, []
    for t, p in zip(warmth.tolist(), rain.tolist(), strict=False):
        melt = min(snow, max(0.0, 1.6 * t))
        snow = snow + (p if t < 0 else 0.0) - melt
        store = 0.9 * store + melt + (p if t >= 0 else 0.0)
        flow.append(0.1 * store)
    flow = torch.tensor(flow) * (1 + 0.05 * torch.randn(days))
    flow[torch.rand(days) < 0.02] *= 2.5  # ice on the gauge
    return torch.stack([(warmth - 6) / 9, rain / 6, season], 1), flow / 2.5


class Runoff(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 32, batch_first=True)
        self.out = nn.Linear(32, 1)

    def forward(self, weather):
        return self.out(self.gru(weather)[0][:, -1])


def squared(flow, truth):
    return nn.functional.mse_loss(flow.view_as(truth), truth)


def log_cosh(flow, truth):
    gap = flow - truth
    return (gap.abs() + torch.log1p(torch.exp(-2 * gap.abs())) - math.log(2)).mean()


def main(seed):
    torch.manual_seed(seed)
    weather, flow = weather_and_runoff(1900)
    windows = weather.unfold(0, 20, 1).transpose(1, 2)
    flow = flow[19:]
    split = 1280
    loader = DataLoader(TensorDataset(windows[:split], flow[:split]), batch_size=64, shuffle=True)
    model = Runoff()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(1, 23):
        loss_fn = squared if epoch <= 8 else log_cosh
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            error = (model(windows[split:]).squeeze(1) - flow[split:]).abs().median().item()
        print(f"epoch {epoch}  {loss_fn.__name__}  val_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
