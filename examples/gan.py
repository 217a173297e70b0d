"""A generator learns to draw points from a ring of eight Gaussians by playing against a discriminator.

python examples/gan.py                 # some ten seconds on one core
python examples/gan.py --no-noise      # ruined: nothing to make different samples of
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

NOISE, BATCH, MODES = 8, 128, 8


def ring(size):
    """Points around eight places on a circle."""
    angle = torch.randint(MODES, (size,)) * (2 * math.pi / MODES)
    return 1.5 * torch.stack([angle.cos(), angle.sin()], 1) + 0.1 * torch.randn(size, 2)


def mlp(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


def covered(samples):
    """Share of the eight places with at least a fiftieth of the samples nearby."""
    angle = torch.arange(MODES) * (2 * math.pi / MODES)
    places = 1.5 * torch.stack([angle.cos(), angle.sin()], 1)
    near = torch.cdist(samples, places) < 0.4
    return (near.float().mean(0) > 0.02).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="steps of each player (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=1e-3, help="learning rate of both (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-noise", action="store_true", help="mistake: the generator's input is the same everywhere")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    generator, discriminator = mlp(NOISE, 2), mlp(2, 1)
    g_optimizer = torch.optim.Adam(generator.parameters(), lr=args.lr, betas=(0.5, 0.999))
    d_optimizer = torch.optim.Adam(discriminator.parameters(), lr=args.lr, betas=(0.5, 0.999))

    def generate(size):
        noise = torch.zeros(size, NOISE) if args.no_noise else torch.randn(size, NOISE)
        return generator(noise)

    def score(samples, truth):
        logits = discriminator(samples)
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))

    for step in range(1, args.steps + 1):
        fake = generate(BATCH)
        d_loss = score(ring(BATCH), 1.0) + score(fake.detach(), 0.0)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        g_loss = score(fake, 1.0)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        if step == 1 or step % 400 == 0:
            print(f"step {step:4d}  discriminator {d_loss.item():.3f}  generator {g_loss.item():.3f}", flush=True)

    with torch.no_grad():
        print(f"validation coverage {covered(generate(2000)):.3f}")


if __name__ == "__main__":
    main()
