"""Height of a dune's crest line from wind records: a first desert in metres, then a second desert's file.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: saturated-units, loss-spike, stalled, divergence, exploding-gradient, vanishing-gradient
metric: error min
"""

import argparse

import torch
from torch import nn


def desert(n, g, unit=1.0):
    sand = torch.rand(n, 1, generator=g) * 2 - 1
    wind = torch.randn(n, 7, generator=g)
    crest = torch.sin(2 * wind[:, :1]) + sand * wind[:, 1:2] + 0.6 * torch.cos(wind[:, 2:3] + wind[:, 3:4])
    return torch.cat([sand, wind], 1) * unit, crest + 0.05 * torch.randn(n, 1, generator=g)


class CrestNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(8, 80)
        self.middle = nn.Linear(80, 80)
        self.outer = nn.Linear(80, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.middle(torch.tanh(self.inner(x)))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    first, second = desert(2500, g), desert(3500, g, unit=100.0)
    held = (second[0][3000:], second[1][3000:])
    model = CrestNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    step = 0
    for (x, y), epochs in ((first, 8), ((second[0][:3000], second[1][:3000]), 14)):
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(50):
                loss = nn.functional.l1_loss(model(x[rows]), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
            shown = held if x is not first[0] else (first[0][:500], first[1][:500])
            with torch.no_grad():
                error = nn.functional.l1_loss(model(shown[0]), shown[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
