"""The heights of a row of dunes as a density: a masked autoregressive flow, at first on smoothed dunes.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn

WIDTH = 12


def dunes(count, blur):
    """A skewed wave with a random place and height, and the grain of the sand."""
    x = torch.linspace(0, 2 * math.pi, WIDTH)
    phase, height = 2 * math.pi * torch.rand(count, 1), 0.5 + torch.rand(count, 1)
    wave = height * (torch.sin(x + phase) + 0.3 * torch.sin(2 * (x + phase)))
    return wave + (0.08 + blur) * torch.randn(count, WIDTH)


class Masked(nn.Linear):
    def __init__(self, rank_in, rank_out, strict):
        super().__init__(len(rank_in), len(rank_out))
        above = rank_out.unsqueeze(1) > rank_in if strict else rank_out.unsqueeze(1) >= rank_in
        self.register_buffer("mask", above.float())

    def forward(self, x):
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


class Layer(nn.Module):
    def __init__(self, backwards, hidden=96):
        super().__init__()
        rank = torch.arange(WIDTH).flip(0) if backwards else torch.arange(WIDTH)
        inner = torch.arange(hidden) % (WIDTH - 1)
        self.net = nn.Sequential(
            Masked(rank, inner, False),
            nn.SiLU(),
            Masked(inner, inner, False),
            nn.SiLU(),
            Masked(inner, rank.repeat(2), True),
        )
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, x):
        shift, log_scale = self.net(x).chunk(2, dim=1)
        log_scale = 3 * torch.tanh(log_scale / 3)
        return (x - shift) * torch.exp(-log_scale), -log_scale.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.layers = nn.ModuleList([Layer(i % 2 == 1) for i in range(depth)])

    def forward(self, x):
        total = 0.0
        for layer in self.layers:
            x, log_det = layer(x)
            total = total + log_det
        return 0.5 * (x.square() + math.log(2 * math.pi)).sum(1) - total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Flow()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    milestones = torch.optim.lr_scheduler.MultiStepLR(optimizer, [600, 800], gamma=0.25)
    held = dunes(2000, 0.0)
    for step in range(1, 1001):
        blur = 0.4 if step <= 150 else 0.15 if step <= 300 else 0.0
        loss = model(dunes(128, blur)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        milestones.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_nll = model(held).mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
