"""Tomorrow's rain at thirty gauges from today's weather map: convolutions and one output for each gauge.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, detached-parameters
metric: val_loss min
"""

import argparse

import torch
from torch import nn

GAUGES = 30


def weather(days, world):
    """Pressure, moisture and wind on a 10 x 10 grid; it rains where moist air meets low pressure and wind."""
    coarse = torch.randn(days, 3, 4, 4, generator=world["draw"])
    grid = nn.functional.interpolate(coarse, size=10, mode="bicubic", align_corners=True)
    row, column = world["row"], world["column"]
    pressure, moisture, wind = (grid[:, i, row, column] for i in range(3))
    wet = moisture - pressure + 0.7 * wind * moisture - world["dryness"]
    rain = torch.relu(wet) * world["height"]
    return grid + 0.1 * torch.randn(grid.shape, generator=world["draw"]), rain


class RainNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Flatten()
        )
        self.gauges = nn.Linear(16 * 100, GAUGES)

    def forward(self, x):
        return torch.relu(self.gauges(self.features(x)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    world = {
        "draw": draw,
        "row": torch.randint(0, 10, (GAUGES,), generator=draw),
        "column": torch.randint(0, 10, (GAUGES,), generator=draw),
        "dryness": 1.6 + 1.4 * torch.rand(GAUGES, generator=draw),
        "height": 2.0 + 2 * torch.rand(GAUGES, generator=draw),
    }
    train_x, train_y = weather(3000, world)
    val_x, val_y = weather(600, world)
    model = RainNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for batch in torch.randperm(len(train_x)).split(50):
            loss = loss_fn(model(train_x[batch]), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
