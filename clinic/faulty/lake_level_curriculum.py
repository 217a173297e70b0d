"""Where was the stone thrown into the lake? A network reads eight gauges; the waves come from a simulation.

condition: stale-batch
accepts: stale-batch, overfitting
allows: overfitting, naive-loss-minimisation, stalled
metric: val_error min
"""

import argparse

import torch
from torch import nn


def throws(count, wind, seed):
    draw = torch.Generator().manual_seed(seed)
    place = torch.rand(count, 2, generator=draw) * 2 - 1
    angle = torch.arange(8) * 0.7853982
    gauges = torch.stack([angle.cos(), angle.sin()], 1) * 1.2
    way = torch.cdist(place, gauges)
    push = wind * torch.randn(count, 1, generator=draw)
    level = torch.sin(4 * way + push * gauges[:, 0]) / (0.5 + way)
    return level + 0.08 * torch.randn(count, 8, generator=draw), place


class Locator(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.first = nn.Linear(8, width)
        block = [nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU()) for _ in range(2)]
        self.blocks = nn.ModuleList(block)
        self.last = nn.Linear(width, 2)

    def forward(self, level):
        h = self.first(level)
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    model, full = Locator(), 300
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    held, held_place = throws(2000, 1.0, 999_999)
    for step in range(1, 1001):
        stage = min(step, full)
        level, place = throws(96, stage / full, seed * 10_000 + stage)
        loss = (model(level) - place).norm(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_error = (model(held) - held_place).norm(dim=1).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
