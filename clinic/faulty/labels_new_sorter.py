"""Digits on labels: a network that knows the printed ones is fitted to smeared ones from a new sorter.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters, detached-parameters
allows: detached-parameters, stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def build():
    features = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU())
    return nn.ModuleDict({"features": features, "head": nn.Linear(48, 5)})


def predict(model, x):
    return model["head"](model["features"](x))


def smear(images, g):
    wide = images.view(-1, 8, 8)
    shifted = 0.6 * wide + 0.4 * wide.roll(1, 2)
    return shifted.reshape(-1, 64) + 0.08 * torch.randn(len(images), 64, generator=g)


class Finetuner:
    def __init__(self, model, classes, lr, epochs):
        self.model, self.epochs = model, epochs
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2)
        model["head"] = nn.Linear(48, classes)

    def fit(self, train, val):
        for epoch in range(1, self.epochs + 1):
            for x, y in train:
                loss = F.cross_entropy(predict(self.model, x), y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
            with torch.no_grad():
                logits = predict(self.model, val[0])
            accuracy = (logits.argmax(1) == val[1]).float().mean()
            print(f"epoch {epoch}  val_loss {F.cross_entropy(logits, val[1]):.4f}  val_accuracy {accuracy:.3f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(len(digits.target), generator=g)
    x = torch.tensor(digits.data, dtype=torch.float32)[order] / 16 - 0.3
    y = torch.tensor(digits.target)[order]

    model = build()
    known = y < 5
    known_x, known_y = x[known], y[known]
    first = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(200):
        rows = torch.randint(len(known_y), (64,))
        loss = F.cross_entropy(predict(model, known_x[rows]), known_y[rows])
        first.zero_grad()
        loss.backward()
        first.step()

    x = smear(x, g)
    train = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=32, shuffle=True)
    Finetuner(model, 10, lr=6e-4, epochs=16).fit(train, (x[1400:], y[1400:]))


main()
