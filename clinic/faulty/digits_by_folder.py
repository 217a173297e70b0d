"""Digits as a folder listing gives them, one class after the other, into a small CNN; Adam.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, stalled, divergence, dead-units
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
held_out = torch.rand(len(images)) < 0.2
files = sorted((label, i) for i, label in enumerate(labels.tolist()) if not held_out[i])
listing = torch.tensor([i for _, i in files])
generator = torch.Generator().manual_seed(args.seed)
loader = DataLoader(TensorDataset(images[listing], labels[listing]), batch_size=48, generator=generator)

model = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(24 * 16, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()

step = 0
for _ in range(8):
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 8 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = loss_fn(model(images[held_out]), labels[held_out]).item()
            model.train()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
