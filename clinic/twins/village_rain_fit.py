"""Hourly rain at eight villages from radar echoes and the readings of four neighbours (most hours are dry).

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def hours(n, g):
    front = torch.randn(n, 8, generator=g)
    front = 0.6 * front + 0.8 * torch.randn(n, 1, generator=g)
    wind = torch.randn(n, 2, generator=g)
    rain = torch.relu(front - 0.9) * (2.0 + torch.tanh(wind[:, :1])) * 1.6
    echo = front + 0.35 * torch.randn(n, 8, generator=g)
    near = torch.relu(front[:, ::2] - 0.9 + 0.3 * torch.randn(n, 4, generator=g)).sqrt()
    return torch.cat([echo, near, wind, torch.randn(n, 5, generator=g)], 1), rain


class RainNet(nn.Module):
    def __init__(self, inputs, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.amount = nn.Linear(width, 8)

    def forward(self, x):
        # rain is never negative
        return nn.functional.softplus(self.amount(self.body(x)))


def rmse(model, x, y):
    with torch.no_grad():
        return (model(x) - y).pow(2).mean().sqrt().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    x, y = hours(4000, g)
    vx, vy = hours(2000, g)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    model = RainNet(x.shape[1])
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1.5e-3)
    loss_fn = nn.SmoothL1Loss()
    for epoch in range(20):
        for group in optimizer.param_groups:
            group["lr"] = 1.5e-3 * (1 - epoch / 20)
        total = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}  train {total / len(loader):.4f}  val_rmse {rmse(model, vx, vy):.4f}")
