"""An adversarial pair learns where starlings roost: eight reed beds around a lake.

condition: healthy
metric: coverage max
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

BEDS = 8
angles = 2 * math.pi * torch.arange(BEDS) / BEDS
beds = 2 * torch.stack([angles.cos(), angles.sin()], 1)


def roosts(n):
    return beds[torch.randint(BEDS, (n,))] + 0.12 * torch.randn(n, 2)


def coverage(points):
    """Overlap of the beds' shares among the points with 1/8 each; points in the open water count for nothing."""
    distance, bed = torch.cdist(points, beds).min(1)
    share = torch.bincount(bed[distance < 0.5], minlength=BEDS) / len(points)
    return share.clamp(max=1 / BEDS).sum().item()


def mlp(inputs, outputs, width=64):
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, width),
        nn.LeakyReLU(0.2),
        nn.Linear(width, outputs),
    )


generator, critic = mlp(8, 2), mlp(2, 1)
opt_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.99))
opt_c = torch.optim.Adam(critic.parameters(), lr=3e-3, betas=(0.5, 0.99))
loss_fn = nn.BCEWithLogitsLoss()
ONE, ZERO = torch.ones(96, 1), torch.zeros(96, 1)


def noise(n, step):
    """The tails of the noise are cut off, more and more, for cleaner samples."""
    cut = max(1.5, 3 * 0.996**step)
    return torch.randn(n, 8).clamp(-cut, cut)


for step in range(1000):
    real = roosts(96).requires_grad_(True)
    fake = generator(noise(96, step))
    score = critic(real)
    (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    loss_c = loss_fn(score, ONE) + loss_fn(critic(fake.detach()), ZERO) + 0.05 * slope.pow(2).sum(1).mean()
    opt_c.zero_grad()
    loss_c.backward()
    opt_c.step()

    loss_g = loss_fn(critic(fake), ONE)
    opt_g.zero_grad()
    loss_g.backward()
    opt_g.step()
    if step % 20 == 0:
        with torch.no_grad():
            covered = coverage(generator(noise(600, step)))
        print(f"step {step}  loss {loss_g.item():.4f}  critic_loss {loss_c.item():.4f}  coverage {covered:.3f}")
