"""A beta-VAE of sprites: a square of any size at any place; its codes are meant to be disentangled.

condition: healthy
metric: rebuild min
"""

import argparse
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 12


class SpriteVAE(nn.Module):
    def __init__(self, codes):
        super().__init__()
        self.encode = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 96), nn.ReLU(), nn.Linear(96, 2 * codes))
        self.decode = nn.Sequential(nn.Linear(codes, 96), nn.ReLU(), nn.Linear(96, SIDE**2))

    def forward(self, sprites):
        mean, logvar = self.encode(sprites).chunk(2, dim=1)
        code = mean + torch.exp(0.5 * logvar) * torch.randn_like(mean)
        return self.decode(code).unflatten(1, (SIDE, SIDE)), mean, logvar


class Objective:
    def __init__(self, beta):
        self.beta = beta

    def __call__(self, logits, sprites, mean, logvar):
        rebuild = F.binary_cross_entropy_with_logits(logits, sprites, reduction="sum") / len(sprites)
        kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1).mean()
        return SimpleNamespace(total=rebuild + self.beta * kl, rebuild=rebuild, kl=kl)


def draw(count):
    centre = 3 + 6 * torch.rand(count, 2)
    half = 1 + 2 * torch.rand(count, 1, 1)
    grid = torch.arange(SIDE) + 0.5
    inside_y = (grid[None, :, None] - centre[:, 0, None, None]).abs() < half
    inside_x = (grid[None, None, :] - centre[:, 1, None, None]).abs() < half
    return (inside_y & inside_x).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = SpriteVAE(codes=6)
    loss_fn = Objective(beta=1.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    val = draw(256)
    for step in range(1, 601):
        sprites = draw(64)
        loss = loss_fn(*_ordered(model(sprites), sprites))
        optimizer.zero_grad()
        loss.total.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                seen = loss_fn(*_ordered(model(val), val))
            print(
                f"step {step}  loss {loss.total.item():.3f}  kl {seen.kl.item():.3f}  rebuild {seen.rebuild.item():.3f}"
            )


def _ordered(output, sprites):
    logits, mean, logvar = output
    return logits, sprites, mean, logvar


main()
