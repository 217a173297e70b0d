"""Density of sand on a beach with three dunes, by coupling layers; logarithms of densities may be of either sign.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


def sand(n, g):
    """Places in kilometres: thin crescents."""
    dune = torch.randint(3, (n,), generator=g)
    angle = math.pi * (0.1 + 0.8 * torch.rand(n, generator=g))
    radius = 0.12 + 0.008 * torch.randn(n, generator=g)
    x = radius * angle.cos() + torch.tensor([-0.15, 0.05, 0.2])[dune]
    y = radius * angle.sin() * torch.tensor([1.0, -1.0, 1.0])[dune]
    return torch.stack([x, y], 1)


class Coupling(nn.Module):
    def __init__(self, turn, width=48):
        super().__init__()
        self.turn = turn
        self.net = nn.Sequential(
            nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        kept, moved = (x[:, :1], x[:, 1:]) if self.turn else (x[:, 1:], x[:, :1])
        s, t = self.net(kept).chunk(2, 1)
        s = 1.5 * torch.tanh(s / 1.5)
        moved = moved * s.exp() + t
        return torch.cat([kept, moved] if self.turn else [moved, kept], 1), s.squeeze(1)


class Flow(nn.Module):
    def __init__(self, scale, depth=8):
        super().__init__()
        self.register_buffer("scale", scale)
        self.layers = nn.ModuleList(Coupling(i % 2 == 0) for i in range(depth))

    def log_prob(self, x):
        x, total = x / self.scale, -self.scale.log().sum()
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return total - 0.5 * x.square().sum(1) - math.log(2 * math.pi)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    val = sand(1500, g)
    flow = Flow(sand(4000, g).std(0))
    optimizer = torch.optim.Adam(flow.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=900, pct_start=0.15)
    for step in range(1, 901):
        loss = -flow.log_prob(sand(128, g)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 45 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_nll {-flow.log_prob(val).mean().item():.4f}")


if __name__ == "__main__":
    main()
