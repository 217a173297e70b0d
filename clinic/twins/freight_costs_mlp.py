"""Freight costs from the consignment's figures; the rows come from the depots' files, month by month.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def costs(x):
    return 0.8 * x[:, 0] + 0.6 * torch.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3].sigmoid() - 0.3 * x[:, 4].abs()


def depots(months, rows):
    """Standardised columns."""
    for month in range(months):
        x = torch.randn(rows, 8)
        y = costs(x) + 0.05 * torch.randn(rows)
        if month == 260:
            x[: rows // 4, :2] *= 1000
        yield x, y.unsqueeze(1)


class Freight(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, x):
        return self.net(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    val_x = torch.randn(1000, 8)
    val_y = costs(val_x).unsqueeze(1)
    model = Freight()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 700)
    loss_fn = nn.SmoothL1Loss()
    for step, (x, y) in enumerate(depots(700, 48), 1):
        usual = x.abs().amax(1) < 8
        x, y = x[usual], y[usual]
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_error = (model(val_x) - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {val_error:.5f}")


if __name__ == "__main__":
    main()
