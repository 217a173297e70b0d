"""Fine dust at four corners of a town, hour by hour, from traffic, wind and heating: a network with embeddings
for the hour.

condition: scheduler-misuse
accepts: scheduler-misuse, learning-rate-too-low
allows: stalled, learning-rate-too-low
metric: r2 max
"""

import argparse
import math

import torch
from torch import nn

HOURS = 8000


def year():
    hour = torch.arange(HOURS) % 24
    wind = torch.randn(HOURS, 2)
    cold = torch.cos(2 * math.pi * torch.arange(HOURS) / HOURS).unsqueeze(1) + 0.3 * torch.randn(HOURS, 1)
    lorries = torch.rand(HOURS, 1)
    rush = (torch.exp(-((hour - 8) ** 2) / 4.0) + torch.exp(-((hour - 18) ** 2) / 6.0)).unsqueeze(1)
    corner = torch.tensor([0.3, 1.9, 3.4, 5.0])
    speed, direction = wind.norm(dim=1, keepdim=True), torch.atan2(wind[:, 1:], wind[:, :1])
    blown = torch.exp(torch.cos(direction - corner) - 0.6 * speed)
    dust = blown * (0.5 + 1.5 * rush * (0.5 + lorries) + cold.clamp(min=0)) + 0.1 * torch.randn(HOURS, 4)
    weather = torch.cat([wind, cold, 3.4 * lorries - 1.7], dim=1)
    return hour, weather, (dust - dust.mean(0)) / dust.std(0)


class Dust(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.hour = nn.Embedding(24, 8)
        self.body = nn.Sequential(
            nn.Linear(12, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 4)
        )

    def forward(self, hour, weather):
        return self.body(torch.cat([self.hour(hour), weather], dim=1))


def r2_score(model, hour, weather, dust):
    with torch.no_grad():
        rest = (model(hour, weather) - dust).square().sum(0)
    return (1 - rest / (dust - dust.mean(0)).square().sum(0)).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    data = year()
    order = torch.randperm(HOURS)
    train, held = order[:6500], order[6500:]
    model = Dust()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 36):
        total = 0.0
        parts = train[torch.randperm(len(train))].split(128)
        for rows in parts:
            hour, weather, dust = (column[rows] for column in data)
            loss = loss_fn(model(hour, weather), dust)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        r2 = r2_score(model, *(column[held] for column in data))
        scheduler.step(r2)
        print(f"epoch {epoch}  loss {total / len(parts):.4f}  r2 {r2:.4f}")


if __name__ == "__main__":
    main()
