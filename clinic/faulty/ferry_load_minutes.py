"""How full is the ferry? A network learns day by day, as the days come, and is scored on each day before it learns it.

condition: unscaled-inputs
accepts: unscaled-inputs, saturated-units
allows: saturated-units, stalled, loss-spike, divergence
metric: error min
"""

import argparse
import math
from collections import deque

import torch
from torch import nn


def one_day(day, trips=64):
    hour = 6 + 16 * torch.rand(trips)
    warm = 12 + 9 * math.sin(2 * math.pi * (day - 110) / 365) + 3 * torch.randn(1)
    wind = torch.rand(trips) * 20
    rush = torch.exp(-((hour - 8) ** 2) / 3) + 0.8 * torch.exp(-((hour - 17) ** 2) / 4)
    holiday = (0.5 + 0.5 * math.sin(2 * math.pi * (day - 100) / 365)) * torch.sigmoid((hour - 10) / 1.5)
    load = 0.6 * rush + 0.8 * holiday * torch.sigmoid((warm - 14) / 3) - 0.02 * wind
    clock = 2 * math.pi * hour / 24
    season = [torch.full_like(hour, day)]
    columns = [clock.sin(), clock.cos(), (warm.expand(trips) - 12) / 8, wind / 10 - 1] + season
    return torch.stack(columns, 1), load + 0.05 * torch.randn(trips)


class FerryLoad(nn.Module):
    def __init__(self, columns, width=64):
        super().__init__()
        self.first = nn.Linear(columns, width)
        self.second = nn.Linear(width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(torch.tanh(self.second(torch.tanh(self.first(x))))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = FerryLoad(len(one_day(0)[0][0]))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    recent = deque(maxlen=40)
    for day in range(1, 1201):
        x, load = one_day(day)
        loss = loss_fn(model(x), load)
        recent.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if day % 40 == 0:
            print(f"day {day}  loss {loss.item():.4f}  error {sum(recent) / len(recent):.4f}")


if __name__ == "__main__":
    main()
