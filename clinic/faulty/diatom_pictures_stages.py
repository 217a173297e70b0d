"""Genera of diatoms under the microscope: first the head alone, then head and convolutions together.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-high, loss-spike, edge-of-stability, overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

GENERA, SIDE, EPOCHS, THAW = 6, 16, 18, 4


def pictures(count):
    """Ellipses of silica: how long, how many stripes, and whether they run across or along."""
    genus = torch.randint(GENERA, (count,))
    grid = torch.linspace(-1, 1, SIDE)
    turn = 0.5 * torch.randn(count, 1, 1)
    shift = 0.15 * torch.randn(2, count, 1, 1)
    x, y = grid.view(1, 1, SIDE) - shift[0], grid.view(1, SIDE, 1) - shift[1]
    u, v = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    slim = (0.35 + 0.25 * (genus % 2)).view(-1, 1, 1)
    inside = torch.sigmoid((1 - (u / 0.9) ** 2 - (v / slim) ** 2) / 0.15)
    pitch = (6 + 4 * (genus // 2 % 3) + torch.randn(count)).view(-1, 1, 1)
    stripes = torch.cos(pitch * u)
    light = inside * (1 + stripes) - 0.5 + 0.7 * torch.randn(count, SIDE, SIDE)
    return TensorDataset(light.unsqueeze(1), genus)


class DiatomNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1), nn.BatchNorm2d(2 * width), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip
        self.head = nn.Linear(2 * width * 16, GENERA)

    def forward(self, x):
        return self.head(self.trunk(x).flatten(1))


def cosine(optimizer, epochs):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)


def evaluate(model, data):
    model.eval()
    with torch.no_grad():
        light, genus = data.tensors
        return F.cross_entropy(model(light), genus).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    loader = DataLoader(pictures(1280), batch_size=16, shuffle=True)
    held = pictures(1000)
    model = DiatomNet()
    model.trunk.requires_grad_(False)
    optimizer = torch.optim.SGD(model.head.parameters(), lr=0.02)
    scheduler = cosine(optimizer, EPOCHS)

    for epoch in range(1, EPOCHS + 1):
        if epoch == THAW:
            model.trunk.requires_grad_(True)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-3)
        model.train()
        for light, genus in loader:
            loss = F.cross_entropy(model(light), genus)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {evaluate(model, held):.4f}")


if __name__ == "__main__":
    main()
