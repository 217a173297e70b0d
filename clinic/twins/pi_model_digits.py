"""Digits with two hundred labels: cross-entropy on these, and agreement of two noisy views on all the others.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
target = torch.tensor(digits.target)
order = torch.randperm(len(images))
labelled, free, test = order[:200], order[200:1300], order[1300:]

model = nn.Sequential(
    nn.Conv2d(1, 24, 3, padding=1),
    nn.LeakyReLU(0.1),
    nn.Conv2d(24, 32, 3, padding=1),
    nn.LeakyReLU(0.1),
    nn.MaxPool2d(2),
    nn.Conv2d(32, 32, 3, padding=1),
    nn.LeakyReLU(0.1),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Dropout(0.3),
    nn.Linear(128, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)

STEPS, RAMP = 700, 350


def view(batch):
    """A view is shifted by up to one pixel and has grain."""
    dy, dx = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(batch, (dy, dx), dims=(2, 3)) + 0.3 * torch.randn_like(batch)


def ramp_up(step):
    return math.exp(-5 * (1 - min(step / RAMP, 1.0)) ** 2)


for step in range(1, STEPS + 1):
    model.train()
    rows = labelled[torch.randint(len(labelled), (32,))]
    others = free[torch.randint(len(free), (96,))]
    supervised = F.cross_entropy(model(view(images[rows])), target[rows])
    first, second = (F.softmax(model(view(images[others])), dim=1) for _ in range(2))
    agreement = F.mse_loss(first, second)
    loss = supervised + 10.0 * ramp_up(step) * agreement
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    if step % 20 == 0:
        model.eval()
        with torch.no_grad():
            accuracy = (model(images[test]).argmax(1) == target[test]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  supervised {supervised.item():.4f}  accuracy {accuracy:.4f}")
