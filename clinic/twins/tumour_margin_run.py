"""Benign or malignant, from thirty features of the cells' nuclei; the probabilities are to be shown to physicians.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer
from torch import nn


def split(seed, train_size=250):
    data = load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float32)
    y = torch.tensor(data.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, val = order[:train_size], order[train_size:]
    mean, std = x[train].mean(0), x[train].std(0)
    x = (x - mean) / std
    return x[train], y[train], x[val], y[val]


class Nuclei(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.a = nn.Linear(30, hidden)
        self.b = nn.Linear(hidden, hidden)
        self.c = nn.Linear(hidden, 2, bias=False)

    def forward(self, x):
        return self.c(F.relu(self.b(F.relu(self.a(x)))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    x, y, val_x, val_y = split(seed)
    model = Nuclei()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.05)
    for step in range(1, 3001):
        rows = torch.randint(len(x), (50,))
        loss = loss_fn(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 10 or step % 100 == 0:
            with torch.no_grad():
                val_nll = F.cross_entropy(model(val_x), val_y).item()
                right = (model(x).argmax(1) == y).float().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  train_right {right:.3f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
