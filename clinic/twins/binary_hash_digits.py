"""Binary codes for finding similar digits: thirty-two bits of a network, made sharper and sharper as it learns.

condition: healthy
metric: precision max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

BITS = 32


class HashNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 96), nn.ELU(), nn.Linear(96, BITS))
        self.squash = nn.Tanh()
        self.classes = nn.Linear(BITS, 10)
        self.sharpness = 1.0

    def bits(self, x):
        return self.squash(self.sharpness * self.features(x))

    def forward(self, x):
        return self.classes(self.bits(x))


def precision(model, queries, query_labels, shelf, shelf_labels):
    """The share of the right class among the twenty codes nearest in Hamming distance."""
    with torch.no_grad():
        agreement = model.bits(queries).sign() @ model.bits(shelf).sign().T
    nearest = agreement.topk(20, dim=1).indices
    return (shelf_labels[nearest] == query_labels[:, None]).float().mean().item()


def sharpen(step):
    return min(1.04**step, 5.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    digits = load_digits()
    x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    train, test = order[:1300], order[1300:]

    model = HashNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 401):
        rows = train[torch.randint(len(train), (64,))]
        pictures = x[rows] + 0.4 * torch.randn(64, 64)
        loss = loss_fn(model(pictures), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.sharpness = sharpen(step)
        if step % 16 == 0:
            found = precision(model, x[test], y[test], x[train], y[train])
            print(f"step {step}  loss {loss.item():.4f}  precision {found:.4f}")


if __name__ == "__main__":
    main()
