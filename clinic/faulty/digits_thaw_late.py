"""A network that reads the digits 0 to 4 is taught 5 to 9: a new head first, the convolutions thawed afterwards.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: frozen-parameters, stalled, missing-zero-grad
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def sets(classes, offset, rest):
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    y = torch.tensor(digits.target)
    chosen = torch.isin(y, torch.tensor(classes))
    x, y = x[chosen], y[chosen] - offset
    order = torch.randperm(len(x))
    return TensorDataset(x[order[rest:]], y[order[rest:]]), (x[order[:rest]], y[order[:rest]])


class Trunk(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(48, 12),
            nn.ReLU(),
        )


class Reader(nn.Module):
    def __init__(self, trunk, classes=5):
        super().__init__()
        self.trunk = trunk
        self.head = nn.Linear(12, classes)

    def forward(self, x):
        return self.head(self.trunk(x))


def epoch_of(model, loader, optimizer, loss_fn):
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    loss_fn = nn.CrossEntropyLoss()

    old, _ = sets([0, 1, 2, 3, 4], 0, 1)
    teacher = Reader(Trunk())
    first = torch.optim.Adam(teacher.parameters(), lr=3e-3)
    for _ in range(6):
        epoch_of(teacher, DataLoader(old, 32, shuffle=True), first, loss_fn)

    new, (val_x, val_y) = sets([5, 6, 7, 8, 9], 5, 250)
    loader = DataLoader(new, 32, shuffle=True)
    model = Reader(teacher.trunk)
    for parameter in model.trunk.parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW(filter(lambda p: p.requires_grad, model.parameters()), lr=3e-3, weight_decay=0.01)
    for epoch in range(1, 31):
        if epoch == 11:
            for parameter in model.trunk.parameters():
                parameter.requires_grad_(True)
        loss = epoch_of(model, loader, optimizer, loss_fn)
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"epoch {epoch}  loss {loss:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
