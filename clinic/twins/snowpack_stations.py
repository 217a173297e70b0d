"""Snow depth of the next day from yesterday's weather, learned from day files of a network of stations as they come in.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Network:
    """Ninety-six stations between 200 and 2500 m, each sends one row per day."""

    def __init__(self, stations=96):
        self.height = 0.2 + 2.3 * torch.rand(stations)

    def day(self, number):
        n = len(self.height)
        season = torch.cos(torch.tensor(2 * torch.pi * (number % 180) / 180))
        temperature = 4 - 6.0 * self.height - 5 * season + 3 * torch.randn(n)
        precipitation = 4 * torch.rand(n).pow(3) * (torch.rand(1) < 0.7)
        wind = torch.randn(n).abs()
        depth = (0.5 * self.height + 0.4 * season + 0.3 * torch.randn(n)).clamp(min=0)
        fresh = precipitation * torch.sigmoid(-temperature) * 0.4
        melt = 0.06 * temperature.clamp(min=0) * (1 + 0.3 * precipitation)
        after = (depth + fresh - melt - 0.1 * wind * depth).clamp(min=0)
        if number % 1201 == 0:
            after[torch.randperm(n)[:6]] = 99.9
        rows = torch.stack([temperature / 8, precipitation - 0.7, wind - 0.8, depth - 0.8, self.height - 1.3], dim=1)
        return rows, after.unsqueeze(1)


class DepthModel(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(5, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, rows):
        return self.layers(rows)


def learn(model, optimizer, loss_fn, rows, depth):
    valid = depth.squeeze(1) < 90
    loss = loss_fn(model(rows[valid]), depth[valid])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--days", type=int, default=1000)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    network = Network()
    exam = [network.day(number) for number in range(4, 84, 4)]
    exam_rows, exam_depth = (torch.cat(part) for part in zip(*exam, strict=False))
    model = DepthModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.MSELoss()

    for number in range(1, args.days + 1):
        rows, depth = network.day(number + 540)
        loss = learn(model, optimizer, loss_fn, rows, depth)
        if number % 25 == 0:
            with torch.no_grad():
                error = (model(exam_rows) - exam_depth).abs().mean().item()
            print(f"step {number}  loss {loss:.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
