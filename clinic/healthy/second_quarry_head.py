"""Rocks by their reflectance: a network trained at one quarry gets a new head for the rocks of another, then is freed.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

BANDS = 48


class Quarry:
    def __init__(self, kinds, haze):
        self.kinds, self.haze = kinds, haze
        self.place = 4 + 40 * torch.rand(kinds, 3)
        self.depth = 0.3 + 0.7 * torch.rand(kinds, 3)

    def rocks(self, count):
        kind = torch.randint(self.kinds, (count,))
        band = torch.arange(BANDS).view(1, 1, BANDS)
        place = (self.place[kind] + 0.5 * torch.randn(count, 3)).unsqueeze(2)
        depth = (self.depth[kind] * (1 + 0.15 * torch.randn(count, 3))).unsqueeze(2)
        curve = -(depth * torch.exp(-(((band - place) / 2.5) ** 2))).sum(1)
        curve = curve + self.haze * torch.linspace(-1, 1, BANDS) + 0.2 * torch.randn(count, 1)
        return TensorDataset(2 * (curve + 0.25) + 0.6 * torch.randn(count, BANDS), kind)


class RockNet(nn.Module):
    def __init__(self, kinds):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(BANDS, 96), nn.LayerNorm(96), nn.GELU(), nn.Linear(96, 96), nn.LayerNorm(96), nn.GELU()
        )
        self.head = nn.Linear(96, kinds)

    def forward(self, curve):
        return self.head(self.body(curve))


@torch.no_grad()
def evaluate(model, data):
    curve, kind = data.tensors
    return (model(curve).argmax(1) != kind).float().mean().item()


def fit(model, data, held, optimizer, epochs):
    for epoch in epochs:
        for curve, kind in DataLoader(data, batch_size=48, shuffle=True):
            loss = nn.functional.cross_entropy(model(curve), kind, label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  error {evaluate(model, held):.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    first, second = Quarry(kinds=6, haze=0.2), Quarry(kinds=10, haze=0.6)
    model = RockNet(6)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    data, held = first.rocks(2500), first.rocks(1000)
    print(f"epoch 0  error {evaluate(model, held):.4f}")
    fit(model, data, held, optimizer, range(1, 7))

    model.head = nn.Linear(96, second.kinds)
    model.body.requires_grad_(False)
    data, held = second.rocks(2500), second.rocks(1000)
    optimizer = torch.optim.AdamW(model.head.parameters(), lr=3e-3)
    fit(model, data, held, optimizer, range(7, 13))

    model.body.requires_grad_(True)
    groups = [{"params": model.body.parameters(), "lr": 2e-4}, {"params": model.head.parameters(), "lr": 1e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05)
    fit(model, data, held, optimizer, range(13, 21))


if __name__ == "__main__":
    main()
