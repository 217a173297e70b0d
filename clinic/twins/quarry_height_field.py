"""A tanh network of eight layers is fitted to the surveyed heights of a quarry.

condition: healthy
metric: misfit min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

STEPS, BATCH, LR = 900, 128, 0.02
DECAY = 0.01


def heights(place):
    """Benches cut into a slope, a pit and a spoil heap; place in [-1, 1]^2."""
    east, north = place[:, 0], place[:, 1]
    slope = 0.8 * east + 0.3 * north
    benches = 0.25 * torch.sin(5 * slope)
    pit = -1.2 * torch.exp(-((east - 0.3) ** 2 + (north + 0.2) ** 2) / 0.12)
    heap = 0.9 * torch.exp(-((east + 0.5) ** 2 + (north - 0.5) ** 2) / 0.08)
    return slope + benches + pit + heap


place = 2 * torch.rand(3000, 2) - 1
height = heights(place) + 0.02 * torch.randn(3000)
grid = torch.cartesian_prod(torch.linspace(-1, 1, 40), torch.linspace(-1, 1, 40))
true = heights(grid)

layers, size = [], 2
for _ in range(8):
    linear = nn.Linear(size, 64)
    nn.init.xavier_normal_(linear.weight, gain=1.3)
    nn.init.normal_(linear.bias, std=0.05)
    layers += [linear, nn.Tanh()]
    size = 64
model = nn.Sequential(*layers, nn.Linear(size, 1))
loss_fn = nn.MSELoss()
velocity = [torch.zeros_like(p) for p in model.parameters()]


@torch.no_grad()
def update(step):
    """Momentum with a linear warm-up, a cosine descent and decay of the weights apart from the gradient."""
    rate = LR * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
    for weight, v in zip(model.parameters(), velocity):
        v.mul_(0.9).add_(weight.grad)
        if weight.dim() > 1:
            weight.mul_(1 - rate * DECAY)
        weight.sub_(rate * v)


for step in range(STEPS):
    rows = torch.randint(len(place), (BATCH,))
    loss = loss_fn(model(place[rows]).squeeze(1), height[rows])
    model.zero_grad()
    loss.backward()
    update(step)
    if step % 20 == 0:
        with torch.no_grad():
            misfit = (model(grid).squeeze(1) - true).pow(2).mean().sqrt()
        print(f"step {step}  loss {loss.item():.5f}  misfit {misfit.item():.5f}")
