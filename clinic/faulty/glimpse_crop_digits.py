"""A small digit lies somewhere in a large noisy field: one network says where, another reads an 8x8 piece cut there.

condition: detached-parameters
accepts: detached-parameters
allows: overfitting, naive-loss-minimisation, softmax-collapse
metric: accuracy max
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

FIELD, PIECE = 20, 8


def place(images, rng):
    """Put each image at a random place of an empty field."""
    field = 0.08 * rng.random((len(images), FIELD, FIELD))
    corner = rng.integers(0, FIELD - PIECE + 1, (len(images), 2))
    for canvas, image, (row, column) in zip(field, images, corner, strict=True):
        canvas[row : row + PIECE, column : column + PIECE] += image
    return torch.tensor(field, dtype=torch.float32).unsqueeze(1)


class Locator(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 8, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU()
        )
        self.to_place = nn.Linear(8 * 25, 2)

    def forward(self, field):
        return 0.6 * torch.tanh(self.to_place(self.layers(field).flatten(1)))


class GlimpseReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.locator = Locator()
        self.reader = nn.Sequential(nn.Linear(PIECE * PIECE, 64), nn.ReLU(), nn.Linear(64, 10))

    def cut(self, field, centre):
        corner = ((centre + 1) / 2 * FIELD - PIECE / 2).round().long().clamp(0, FIELD - PIECE)
        steps = torch.arange(PIECE)
        rows, columns = corner[:, :1] + steps, corner[:, 1:] + steps
        which = torch.arange(len(field))
        return field[which[:, None, None], 0, rows[:, :, None], columns[:, None, :]]

    def forward(self, field):
        return self.reader(self.cut(field, self.locator(field)).flatten(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    images, labels = load_digits(return_X_y=True)
    images, labels = images.reshape(-1, 8, 8) / 16, torch.tensor(labels)
    test = place(images[1400:], rng)
    model = GlimpseReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        rows = rng.choice(1400, 64, replace=False)
        loss = loss_fn(model(place(images[rows], rng)), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(test).argmax(1) == labels[1400:]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
