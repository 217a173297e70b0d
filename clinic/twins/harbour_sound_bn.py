"""Engines of boats in a harbour told apart by their log spectrogram.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def recordings(n, g):
    boat = torch.randint(0, 6, (n,), generator=g)
    pitch = torch.tensor([3.0, 3.6, 4.3, 5.1, 6.1, 7.3])[boat] * (1 + 0.04 * torch.randn(n, generator=g))
    bins = torch.arange(24.0)
    spec = torch.zeros(n, 24, 16)
    for k in range(1, 5):
        centre = (k * pitch)[:, None, None] * (1 + 0.02 * torch.randn(n, 1, 16, generator=g).cumsum(2) / 3)
        spec += torch.exp(-((bins[None, :, None] - centre) ** 2)) / k
    spec = spec * torch.rand(n, 1, 1, generator=g).add(0.5)
    db = 20 * torch.log10(spec + 0.35 * torch.rand(n, 24, 16, generator=g) + 1e-2)
    return ((db + 14) / 8).unsqueeze(1), boat


def block(cin, cout, stride=1):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))


class BoatNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            block(1, 12),
            block(12, 12),
            block(12, 16, 2),
            block(16, 16),
            block(16, 24, 2),
            block(24, 24),
            block(24, 32, 2),
        )
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(32, 6)

    def forward(self, x):
        return self.fc(self.dropout(self.features(x).mean(dim=(2, 3))))


@torch.no_grad()
def score(model, x, y):
    model.eval()
    return (model(x).argmax(1) == y).float().mean().item()


def fit(model, train, test, epochs, lr):
    x, y = train
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, total_iters=epochs)
    print(f"before training  accuracy {score(model, *test):.4f}")
    for epoch in range(epochs):
        model.train()
        losses = []
        for rows in torch.randperm(len(x)).split(50):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        scheduler.step()
        print(f"epoch {epoch + 1}  loss {sum(losses) / len(losses):.4f}  accuracy {score(model, *test):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    fit(BoatNet(), recordings(1000, g), recordings(400, g), epochs=16, lr=0.05)
