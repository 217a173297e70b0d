"""Trees from pictures of their bark: a convolutional network whose rate starts anew three times, one snapshot per cycle.

condition: healthy
metric: error min
"""

import argparse
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

TREES, SIDE, CYCLE, CYCLES, PEAK = 5, 16, 160, 4, 0.08


def bark(count):
    """Furrows of some direction, distance and depth; plates or smooth skin in between."""
    tree = torch.randint(TREES, (count,))
    y, x = torch.meshgrid(torch.arange(SIDE).float(), torch.arange(SIDE).float(), indexing="ij")
    lean = (torch.tensor([0.0, 0.35, 0.0, 0.8, 1.57])[tree] + 0.15 * torch.randn(count)).view(-1, 1, 1)
    pitch = (torch.tensor([0.8, 1.0, 1.5, 1.1, 0.9])[tree] * (1 + 0.08 * torch.randn(count))).view(-1, 1, 1)
    across = x * lean.cos() + y * lean.sin() + 1.5 * torch.sin(0.4 * y + 6.28 * torch.rand(count, 1, 1))
    furrow = torch.cos(pitch * across + 6.28 * torch.rand(count, 1, 1))
    plates = (tree == 2).view(-1, 1, 1) * torch.cos(0.9 * y + 6.28 * torch.rand(count, 1, 1))
    return (furrow + plates + 0.9 * torch.randn(count, SIDE, SIDE)).unsqueeze(1), tree


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2),
        nn.GroupNorm(2, 8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, TREES),
    )


def rate(step):
    return PEAK * 0.5 * (1 + math.cos(math.pi * ((step - 1) % CYCLE) / CYCLE)) + 1e-4


@torch.no_grad()
def error(networks, picture, tree):
    vote = sum(net(picture).softmax(1) for net in networks)
    return (vote.argmax(1) != tree).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

held = bark(500)
model = network()
optimizer = torch.optim.SGD(model.parameters(), lr=PEAK, momentum=0.9, weight_decay=1e-4)
snapshots = []
for step in range(1, CYCLE * CYCLES + 1):
    optimizer.param_groups[0]["lr"] = rate(step)
    picture, tree = bark(32)
    loss = F.cross_entropy(model(picture), tree)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 32 == 0:
        print(
            f"step {step}  rate {rate(step):.4f}  loss {loss.item():.4f}  error {error([*snapshots, model], *held):.4f}"
        )
    if step % CYCLE == 0:
        snapshots.append(copy.deepcopy(model))
