"""Flow matching: a network learns the velocities that carry noise to a checkerboard; its loss is mostly noise.

condition: healthy
metric: misplaced min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def board(count):
    cell = torch.randint(2, (count,))
    row = torch.randint(4, (count,))
    column = 2 * cell + row % 2
    return torch.stack([column, row], 1) - 2 + torch.rand(count, 2)


class Velocity(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(16, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 2),
        )

    def forward(self, x, t):
        waves = [f(k * 3.1416 * x) for k in (0.5, 1, 2) for f in (torch.sin, torch.cos)]
        return self.net(torch.cat([*waves, x, t, t.square()], 1))


@torch.no_grad()
def misplaced(model, count=1000, steps=20):
    """The share of generated points that lie on no field of the board."""
    x = torch.randn(count, 2)
    for i in range(steps):
        x = x + model(x, torch.full((count, 1), i / steps)) / steps
    column, row = (x + 2).floor().unbind(1)
    inside = (x.abs() < 2).all(1)
    return 1 - (inside & ((column + row) % 2 == 0)).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Velocity()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 900)
    for step in range(1, 901):
        goal, noise, t = board(256), torch.randn(256, 2), torch.rand(256, 1)
        loss = F.mse_loss(model(t * goal + (1 - t) * noise, t), goal - noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 60 == 0:
            print(f"step {step}  loss {loss.item():.4f}  misplaced {misplaced(model):.4f}")


main()
