"""Digits by the forward-forward rule: every layer learns to be active for true labels and quiet for wrong ones.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Layer(nn.Linear):
    """A layer with a loss and an optimiser of its own; nothing flows back out of it."""

    def __init__(self, inputs, outputs, lr=3e-3, threshold=2.0):
        super().__init__(inputs, outputs)
        self.threshold = threshold
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr)

    def forward(self, x):
        x = x / (x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5 + 1e-4)
        return F.leaky_relu(super().forward(x), 0.05)

    def learn(self, true, wrong):
        good, bad = self(true).pow(2).mean(1), self(wrong).pow(2).mean(1)
        loss = F.softplus(torch.cat([self.threshold - good, bad - self.threshold])).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            return self(true), self(wrong), loss.item()


def paint(x, label):
    return torch.cat([x, 3.0 * F.one_hot(label, 10).float()], 1)


@torch.no_grad()
def predict(layers, x):
    total = []
    for label in range(10):
        h, goodness = paint(x, torch.full((len(x),), label)), 0.0
        for layer in layers:
            h = layer(h)
            goodness = goodness + h.pow(2).mean(1)
        total.append(goodness)
    return torch.stack(total, 1).argmax(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    x = (x - x.mean(0)) / (x.std(0) + 0.5)
    order = torch.randperm(len(x))
    train, val = order[:1300], order[1300:]
    layers = [Layer(74, 256), Layer(256, 256)]
    epochs = 40
    for epoch in range(1, epochs + 1):
        for layer in layers:
            layer.optimizer.param_groups[0]["lr"] = 3e-3 * min(1.0, 2 * (1 - (epoch - 1) / epochs))
        losses = []
        for rows in train[torch.randperm(len(train))].split(64):
            label = y[rows]
            picture = x[rows] + 0.4 * torch.randn(len(rows), 64)
            true, wrong = paint(picture, label), paint(picture, (label + torch.randint(1, 10, label.shape)) % 10)
            for layer in layers:
                true, wrong, loss = layer.learn(true, wrong)
                losses.append(loss)
        error = (predict(layers, x[val]) != y[val]).float().mean().item()
        print(f"epoch {epoch}  loss {sum(losses) / len(losses):.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
