"""A small diffusion model (DDPM) that learns to draw handwritten digits (carried by scikit-learn).

python examples/diffusion.py                 # some ten seconds on one core
python examples/diffusion.py --fresh-target  # ruined: the noise to predict is not the noise that was added
"""

import argparse
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

LEVELS = 100


class Denoiser(nn.Module):
    """Predicts the noise in an image, given how noisy it is."""

    def __init__(self, width):
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.entry = nn.Conv2d(1, width, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(3))
        self.blocks = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.exit = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, images, levels):
        angles = levels[:, None] * torch.exp(-math.log(1000) * torch.arange(16) / 16)
        time = self.time(torch.cat([angles.sin(), angles.cos()], dim=1))[:, :, None, None]
        h = self.entry(images)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            h = h + block(F.silu(norm(h) + time))
        return self.exit(F.silu(h))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-3, help="learning rate of AdamW (default: %(default)s)")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--fresh-target", action="store_true", help="mistake: the target is other noise than was added")
    parser.add_argument("--unscaled-inputs", action="store_true", help="mistake: pixels from 0 to 4000, noise of 1")
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    images = torch.tensor(load_digits().images, dtype=torch.float32).unsqueeze(1) / 8 - 1
    if args.unscaled_inputs:
        images = 2000 * (images + 1)
    order = torch.randperm(len(images))
    train, val = images[order[:1500]], images[order[1500:]]

    kept = torch.cumprod(1 - torch.linspace(1e-3, 0.1, LEVELS), 0)  # of the image, at each level
    model = Denoiser(args.width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)

    def loss_on(batch):
        levels = torch.randint(LEVELS, (len(batch),))
        noise = torch.randn_like(batch)
        share = kept[levels][:, None, None, None]
        predicted = model(share.sqrt() * batch + (1 - share).sqrt() * noise, levels)
        return F.mse_loss(predicted, torch.randn_like(noise) if args.fresh_target else noise)

    for step in range(1, args.steps + 1):
        loss = loss_on(train[torch.randint(len(train), (args.batch_size,))])
        if not args.no_zero_grad:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 1 or step % 50 == 0:
            print(f"step {step:4d}  loss {loss.item():.3f}", flush=True)

    with torch.no_grad():
        print(f"validation loss {loss_on(val).item():.3f}")


if __name__ == "__main__":
    main()
