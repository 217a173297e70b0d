"""Letters cut in stone, read by a network that knows written digits: first its head alone, then all of it, gently.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def trunk():
    return nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Conv2d(24, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    )


def pretrain(features, x, y):
    head = nn.Linear(512, 10)
    optimizer = torch.optim.Adam([*features.parameters(), *head.parameters()], lr=2e-3)
    for rows in torch.randint(len(x), (120, 64)):
        loss = F.cross_entropy(head(features(x[rows])), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def carve(x, g):
    """Light from the left: the slope of the picture instead of its ink, upside down, and grains of the stone."""
    x = x.flip(2)
    slope = x - x.roll(1, 3)
    return 0.8 * slope + 0.25 * torch.randn(x.shape, generator=g)


def run(features, head, optimizer, loader, val, epochs, first, frozen):
    for epoch in range(first, first + epochs):
        features.train(not frozen)
        head.train()
        for x, y in loader:
            with torch.set_grad_enabled(not frozen):
                h = features(x)
            loss = F.cross_entropy(head(h), y, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        features.eval(), head.eval()
        with torch.no_grad():
            wrong = (head(features(val[0])).argmax(1) != val[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_error {wrong:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(1797, generator=g)
    x = torch.tensor(digits.images, dtype=torch.float32)[order].unsqueeze(1) / 16
    y = torch.tensor(digits.target)[order]
    features = trunk()
    pretrain(features, x[:800], y[:800])

    carved = carve(x, g)
    loader = DataLoader(TensorDataset(carved[:1400], y[:1400]), batch_size=50, shuffle=True)
    val = carved[1400:], y[1400:]
    head = nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 10))
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.05)
    run(features, head, optimizer, loader, val, epochs=8, first=1, frozen=True)
    gentle = torch.optim.AdamW([*features.parameters(), *head.parameters()], lr=6e-5, weight_decay=0.05)
    run(features, head, gentle, loader, val, epochs=10, first=9, frozen=False)


main()
