"""Flow of a pump from pressure before and after, speed and temperature: one batch a day, in order, by SGD.

condition: healthy
metric: val_flow min
"""

import argparse

import torch
from torch import nn


def day(number, seed, size=48):
    """Readings of one day as a dictionary of columns."""
    g = torch.Generator().manual_seed(10_000 * seed + number)
    before = 2 + 0.3 * torch.randn(size, generator=g)
    speed = 0.6 + 0.8 * torch.rand(size, generator=g)
    valve = 0.2 + 0.8 * torch.rand(size, generator=g)
    warm = 18 + 6 * torch.randn(1, generator=g) + torch.randn(size, generator=g)
    flow = 3 * speed * valve / (0.4 + valve**2).sqrt()
    after = before + 4 * speed**2 - 0.25 * flow**2
    gauge = 1.0 if number != 231 else 100.0
    return {
        "before": before * gauge,
        "after": after * gauge,
        "speed": speed,
        "warm": warm,
        "flow": flow + 0.03 * torch.randn(size, generator=g),
    }


def features(log):
    columns = [log["before"] - 2, (log["after"] - 4) / 2, log["speed"] * 4 - 4, (log["warm"] - 18) / 6]
    return torch.stack(columns, 1)


class PumpCurve(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(4, 48), nn.Linear(48, 48)])
        self.out = nn.Linear(48, 1)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.out(x).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    model = PumpCurve()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.8)
    loss_fn = nn.SmoothL1Loss()
    held = [day(number, seed) for number in range(2000, 2012)]
    val_x = torch.cat([features(log) for log in held])
    val_y = torch.cat([log["flow"] for log in held])
    for number in range(1, 331):
        log = day(number, seed)
        if log["before"].mean() > 20:
            continue
        x, y = features(log), log["flow"]
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if number % 8 == 0:
            with torch.no_grad():
                val_flow = (model(val_x) - val_y).abs().mean().item()
            print(f"step {number}  loss {loss.item():.4f}  val_flow {val_flow:.4f}")


main()
