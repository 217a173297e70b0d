"""Digits with the labels of hasty annotators: four in ten are a guess. The network is judged by clean labels.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
labels = torch.tensor(digits.target)
order = torch.randperm(len(labels))
images, labels = images[order], labels[order]
test_x, test_y = images[:400], labels[:400]
train_x, train_y = images[400:], labels[400:]


def annotate(labels):
    """A new annotator looks at the batch each time, and guesses where it would take long to look."""
    guess = torch.rand(len(labels)) < 0.4
    return torch.where(guess, torch.randint(10, labels.shape), labels)


def jitter(x):
    """Move the pictures by up to a pixel."""
    down, right = torch.randint(-1, 2, (2,)).tolist()
    return torch.roll(x, (down, right), (2, 3)) + 0.1 * torch.randn_like(x)


model = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.GroupNorm(4, 16),
    nn.ReLU(),
    nn.Conv2d(16, 24, 3, stride=2, padding=1),
    nn.GroupNorm(4, 24),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(24 * 16, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 700)
loss_fn = nn.CrossEntropyLoss()

for step in range(700):
    pick = torch.randint(len(train_y), (64,))
    x, y = jitter(train_x[pick]), annotate(train_y[pick])
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.3f}")
