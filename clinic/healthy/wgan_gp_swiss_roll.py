"""A Wasserstein game with gradient penalty on a swiss roll: five critic steps to one of the generator.

condition: healthy
metric: distance min
"""

import argparse

import torch
from sklearn.datasets import make_swiss_roll
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

roll = torch.tensor(make_swiss_roll(2000, noise=0.3, random_state=args.seed)[0][:, [0, 2]], dtype=torch.float32) / 8


class Net(nn.Module):
    def __init__(self, size_in, size_out):
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(size_in, 64), nn.Linear(64, 64)])
        self.out = nn.Linear(64, size_out)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.out(x)


def gradient_penalty(critic, real, fake):
    share = torch.rand(len(real), 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    slope = torch.autograd.grad(critic(between).sum(), between, create_graph=True)[0]
    return (slope.norm(dim=1) - 1).square().mean()


def energy_distance(a, b):
    """Twice the mean distance between two samples, less the mean distances within."""
    within_a, within_b = (torch.cdist(s, s).sum() / (len(s) * (len(s) - 1)) for s in (a, b))
    return (2 * torch.cdist(a, b).mean() - within_a - within_b).item()


generator, critic = Net(2, 2), Net(2, 1)
generator_optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.9))
critic_optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.9))

for step in range(1, 201):
    for _ in range(5):
        real = roll[torch.randint(2000, (96,))]
        with torch.no_grad():
            fake = generator(torch.randn(96, 2))
        critic_loss = critic(fake).mean() - critic(real).mean() + 2 * gradient_penalty(critic, real, fake)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()
    generator_loss = -critic(generator(torch.randn(96, 2))).mean()
    generator_optimizer.zero_grad()
    generator_loss.backward()
    generator_optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            distance = energy_distance(generator(torch.randn(500, 2)), roll[:500])
        print(f"step {step}  c {critic_loss.item():+.4f}  g {generator_loss.item():+.4f}  distance {distance:.4f}")
