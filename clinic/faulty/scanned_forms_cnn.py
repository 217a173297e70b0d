"""Handwritten digits from scanned forms, one form a batch, with a small CNN; validation on clean digits.

condition: bad-batch
accepts: bad-batch
allows: loss-spike, unsafe-step
metric: val_loss min
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
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, val = order[:1296], order[1296:]
forms = list(train.split(48))
keyed = labels.clone()
keyed[forms[19]] = (keyed[forms[19]] + 1) % 10

model = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(24 * 16, 10),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

step = 0
for _ in range(10):
    for form in forms:
        loss = loss_fn(model(images[form]), keyed[form])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 9 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(images[val]), labels[val]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
