"""Power and trim of a ship from speed, draught, wind and waves: several small networks share one task each.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn


def voyages(n, g):
    speed = 8 + 8 * torch.rand(n, generator=g)
    draught = 6 + 5 * torch.rand(n, generator=g)
    wind = 14 * torch.rand(n, generator=g)
    heading = 6.283 * torch.rand(n, generator=g)
    wave = 0.02 * wind**2 + 0.5 * torch.rand(n, generator=g)
    power = (
        1.1e-3 * speed**3 * (draught / 8) ** 0.67
        + 0.012 * wind * speed * heading.cos()
        + 0.25 * wave**1.5 * (1 + heading.cos())
    )
    trim = 0.3 * (draught - 8) - 0.02 * (speed - 10) ** 2 + 0.4 * torch.sin(heading) * wave
    x = torch.stack(
        [
            (speed - 12) / 2.3,
            (draught - 8.5) / 1.4,
            (wind - 7) / 4,
            heading.cos() * 1.4,
            heading.sin() * 1.4,
            (wave - 1.5) / 1.2,
        ],
        1,
    )
    y = torch.stack([(power - 3.2) / 1.8, trim / 0.8], 1) + 0.03 * torch.randn(n, 2, generator=g)
    return x, y


class ResidualBranch(nn.Module):
    def __init__(self, inputs, width, depth):
        super().__init__()
        self.inlet = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)) for _ in range(depth)]
        )
        self.outlet = nn.Linear(width, 1)

    def forward(self, x):
        h = self.inlet(x)
        for block in self.blocks:
            h = h + 0.5 * block(h)
        return self.outlet(h)


class ShipModel(nn.Module):
    def __init__(self, inputs=6, width=24, depth=2):
        super().__init__()
        self.power = ResidualBranch(inputs, width, depth)
        self.trim = ResidualBranch(inputs, width, depth)

    def forward(self, x):
        return torch.cat([self.power(x), self.trim(x)], 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    x, y = voyages(4000, g)
    val_x, val_y = voyages(800, g)
    model, loss_fn = ShipModel(), nn.MSELoss()
    optimizer = torch.optim.NAdam(model.parameters(), lr=2e-3)
    for epoch in range(1, 19):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - (epoch - 1) / 20)
        for rows in torch.randperm(len(x), generator=g).split(64):
            loss = loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_error = (model(val_x) - val_y).square().mean().sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
