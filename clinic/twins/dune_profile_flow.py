"""Height, slope and grain of dunes as a density: six affine couplings (a RealNVP) by maximum likelihood.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn


class Coupling(nn.Module):
    def __init__(self, flip, dim=4, width=48):
        super().__init__()
        self.flip = flip
        self.net = nn.Sequential(
            nn.Linear(dim // 2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, dim)
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        a, b = x.chunk(2, 1)
        if self.flip:
            a, b = b, a
        log_scale, shift = self.net(a).chunk(2, 1)
        log_scale = 2 * torch.tanh(log_scale / 2)
        b = b * log_scale.exp() + shift
        return torch.cat([b, a] if self.flip else [a, b], 1), log_scale.sum(1)


class Flow(nn.Module):
    def __init__(self, layers=6):
        super().__init__()
        self.couplings = nn.ModuleList(Coupling(bool(i % 2)) for i in range(layers))

    def nll(self, x):
        total = 0.0
        for coupling in self.couplings:
            x, log_det = coupling(x)
            total = total + log_det
        return (0.5 * x.square().sum(1) + 2 * math.log(2 * math.pi) - total).mean()


def dunes(n):
    wind = torch.randn(n)
    height = torch.sin(2 * wind) + 0.15 * torch.randn(n)
    slope = 0.5 * wind**2 - 0.8 + 0.2 * torch.randn(n)
    grain = height * slope + 0.2 * torch.randn(n)
    return torch.stack([wind, height, slope, grain], 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    held = dunes(2000)
    flow = Flow()
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9975)
    running = 0.0
    for step in range(1, 801):
        loss = flow.nll(dunes(128))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        running += loss.item() / 40
        if step % 40 == 0:
            with torch.no_grad():
                print(f"step {step}  nll {running:.4f}  val_nll {flow.nll(held).item():.4f}")
            running = 0.0


if __name__ == "__main__":
    main()
