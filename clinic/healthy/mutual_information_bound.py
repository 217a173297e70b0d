"""How much do two sensors say of each other? A network makes a lower bound of it as high as it can.

condition: healthy
metric: gap min
"""

import argparse
import math

import torch
from torch import nn

DIM, CORRELATION = 4, 0.8
TRUTH = -0.5 * DIM * math.log(1 - CORRELATION**2)


def readings(count):
    x = torch.randn(count, DIM)
    return x, CORRELATION * x + math.sqrt(1 - CORRELATION**2) * torch.randn(count, DIM)


class Critic(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 * DIM, width), nn.ELU(), nn.Linear(width, width), nn.ELU(), nn.Linear(width, 1)
        )

    def forward(self, x, y):
        return self.net(torch.cat([x, y], 1)).squeeze(1)


def bound(model, x, y):
    """Nguyen, Wainwright and Jordan's bound, with the pairs of a batch shifted against each other."""
    joint = model(x, y).mean()
    apart = torch.stack([model(x, y.roll(k, 0)) for k in (1, 2, 3)])
    return joint - (apart - 1).exp().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Critic()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    held = readings(4000)
    for step in range(1, 501):
        loss = -bound(model, *readings(160))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                gap = TRUTH - bound(model, *held).item()
            print(f"step {step}  loss {loss.item():.4f}  gap {gap:.4f}")


if __name__ == "__main__":
    main()
