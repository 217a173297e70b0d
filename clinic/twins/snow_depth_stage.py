"""Depth of snow from height, slope and weather: learned in one valley, then gone on with in a second, gently.

condition: healthy
metric: val_depth min
"""

import argparse

import torch
from torch import nn


def valley(count, number, g):
    height, slope, north, cold, days = torch.randn(5, count, generator=g)
    lean = torch.tensor([0.3, -0.9])[number]
    depth = 0.8 * torch.nn.functional.softplus(2 * height * cold) - 0.5 * slope.abs() + lean * north * (1 + cold)
    depth = depth + torch.tensor([0.0, 1.2])[number] * torch.tanh(days) + 0.05 * torch.randn(count, generator=g)
    return torch.stack([height, slope, north, cold, days], 1), depth


class SnowNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.embed = nn.Linear(5, width)
        self.mix = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.mix:
            x = x + nn.functional.mish(layer(self.norm(x)))
        return self.out(x).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    vals = [valley(400, number, g) for number in (0, 1)]
    model = SnowNet()
    loss_fn = nn.L1Loss()
    stages = [{"valley": 0, "steps": 150, "lr": 3e-3}, {"valley": 1, "steps": 350, "lr": 3e-4}]
    step = 0
    for stage in stages:
        x, y = valley(1000, stage["valley"], g)
        val_x, val_y = vals[stage["valley"]]
        optimizer = torch.optim.AdamW(model.parameters(), lr=stage["lr"], weight_decay=1e-3)
        for _ in range(stage["steps"]):
            step += 1
            rows = torch.randint(1000, (50,), generator=g)
            loss = loss_fn(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 15 == 0:
                with torch.no_grad():
                    val_depth = loss_fn(model(val_x), val_y).item()
                print(f"step {step}  loss {loss.item():.4f}  val_depth {val_depth:.4f}")


main()
