"""A small CNN first tells by how much a handwritten digit is turned, then which digit it is.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low
metric: accuracy max
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.turn = nn.Linear(512, 4)
        self.name = nn.Linear(512, 10)

    def rotation(self, x):
        return self.turn(self.features(x))

    def digit(self, x):
        return F.softmax(self.name(self.features(x)), dim=1)


def turned(x, generator=None):
    quarter = torch.randint(0, 4, (len(x),), generator=generator)
    return torch.stack([torch.rot90(image, int(k), (1, 2)) for image, k in zip(x, quarter)]), quarter


@torch.no_grad()
def accuracy(model, forward, x, y):
    model.eval()
    right = (forward(x).argmax(1) == y).float().mean().item()
    model.train()
    return right


def main(seed):
    torch.manual_seed(seed)
    digits = load_digits()
    x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
    y = torch.tensor(digits.target)
    order = torch.randperm(len(x))
    train, test = order[:1300], order[1300:]
    loader = DataLoader(TensorDataset(x[train], y[train]), batch_size=32, shuffle=True)
    test_turned, test_quarter = turned(x[test])
    model, criterion = Net(), nn.CrossEntropyLoss()
    for stage, epochs, rate in (("rotation", 9, 0.01), ("digit", 8, 0.003)):
        params = [*model.features.parameters(), *(model.turn if stage == "rotation" else model.name).parameters()]
        optimizer = torch.optim.SGD(params, lr=rate, momentum=0.9, weight_decay=1e-3)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
        for epoch in range(1, epochs + 1):
            for images, labels in loader:
                if stage == "rotation":
                    images, labels = turned(images)
                    loss = criterion(model.rotation(images), labels)
                else:
                    loss = criterion(model.digit(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scheduler.step()
            if stage == "rotation":
                right = accuracy(model, model.rotation, test_turned, test_quarter)
            else:
                right = accuracy(model, model.digit, x[test], y[test])
            print(f"{stage} epoch {epoch}  loss {loss.item():.4f}  accuracy {right:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
