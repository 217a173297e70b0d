"""A convolutional heat map finds the firefly that flashes in a night picture.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, off-critical-initialisation, detached-parameters, frozen-parameters,
  epsilon-dominated-update
metric: found max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--prior", type=float, default=0.01)
args = parser.parse_args()
torch.manual_seed(args.seed)

SIDE = 16
yy, xx = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def night(n):
    """A round flash among stars (single pixels) and the beams of cars (lines), under noise."""
    row, column = torch.randint(2, SIDE - 2, (2, n))
    distance = (yy - row[:, None, None]) ** 2 + (xx - column[:, None, None]) ** 2
    picture = 1.5 * torch.exp(-distance / 3.0)
    stars = (torch.rand(n, SIDE, SIDE) < 0.02) * 2.0
    beam = torch.randint(SIDE, (n,))
    lines = (xx == beam[:, None, None]) * 1.2
    picture = picture + stars + lines + 0.3 * torch.randn(n, SIDE, SIDE)
    picture = (picture - picture.mean((1, 2), keepdim=True)) / picture.std((1, 2), keepdim=True)
    return picture.unsqueeze(1), (distance <= 1).float(), row * SIDE + column


model = nn.Sequential(
    nn.Conv2d(1, 16, 5, padding=2),
    nn.ReLU(),
    nn.Conv2d(16, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 1, 1),
)


def start(net):
    """Rare things: begin with a low probability everywhere, as in the paper on focal loss."""
    bias = -torch.log(torch.tensor((1 - args.prior) / args.prior)).item()
    for layer in net:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.constant_(layer.bias, bias)


start(model)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)


def loss_fn(logits, target, gamma=2.0):
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    missed = torch.where(target > 0.5, 1 - torch.sigmoid(logits), torch.sigmoid(logits))
    return (missed**gamma * cross).sum((1, 2)).mean()


test_pictures, _, test_cells = night(120)

for step in range(320):
    pictures, maps, _ = night(24)
    loss = loss_fn(model(pictures).squeeze(1), maps)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            guess = model(test_pictures).flatten(1).argmax(1)
        distance = torch.maximum((guess // SIDE - test_cells // SIDE).abs(), (guess % SIDE - test_cells % SIDE).abs())
        print(f"step {step}  loss {loss.item():.4f}  found {(distance <= 1).float().mean().item():.3f}")
