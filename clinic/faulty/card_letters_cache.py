"""Digits on index cards: a small CNN is trained, then its features are stored and a wider head learns on them.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, divergence, stalled, learning-rate-too-high
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


@torch.no_grad()
def store(trunk, images, labels):
    trunk.eval()
    boxes = [trunk(images[labels == k]) for k in range(10)]
    kinds = [torch.full((len(box),), k) for k, box in enumerate(boxes)]
    return TensorDataset(torch.cat(boxes), torch.cat(kinds))


def run(model, loader, optimizer, loss_fn, evaluate, epochs):
    for epoch in epochs:
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {evaluate(model):.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
labels = torch.tensor(digits.target)

trunk = nn.Sequential(
    nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.Flatten()
)
model = nn.Sequential(trunk, nn.Linear(64, 10))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
held = images[1300:], labels[1300:]
first = DataLoader(TensorDataset(images[:1300], labels[:1300]), batch_size=32, shuffle=True)
run(model, first, optimizer, loss_fn, lambda m: (m(held[0]).argmax(1) == held[1]).float().mean(), range(1, 9))

stored = store(trunk, images[:1300], labels[:1300])
second = DataLoader(stored, batch_size=32)
features = trunk(held[0]).detach()
head = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Dropout(0.2), nn.Linear(128, 10))
optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
run(head, second, optimizer, loss_fn, lambda m: (m(features).argmax(1) == held[1]).float().mean(), range(9, 25))
