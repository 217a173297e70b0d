"""Digits lie anywhere on a larger canvas; a small net first says by how much to shift each, then it is read.

condition: detached-parameters
accepts: detached-parameters
allows: frozen-parameters
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

CANVAS = 20


class Aligner(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(CANVAS**2 // 4, 48), nn.ReLU(), nn.Linear(48, 2)
        )
        nn.init.zeros_(self.features[-1].weight)

    def forward(self, image):
        shift = torch.tanh(self.features(image))
        theta = torch.zeros(len(image), 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = 0.5
        for row, (dx, dy) in enumerate(shift):
            theta[row, :, 2] = torch.tensor([dx, dy])
        grid = F.affine_grid(theta, (len(image), 1, 10, 10), align_corners=False)
        return F.grid_sample(image, grid, align_corners=False)


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.aligner = Aligner()
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, image):
        return self.classifier(self.aligner(image))


def place(images):
    canvas = torch.zeros(len(images), 1, CANVAS, CANVAS)
    corners = torch.randint(0, CANVAS - 7, (len(images), 2)).tolist()
    for row, (top, left) in enumerate(corners):
        canvas[row, 0, top : top + 8, left : left + 8] = images[row]
    return canvas


def main(seed):
    torch.manual_seed(seed)
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32)
    labels = torch.tensor(digits.target)
    order = torch.randperm(len(images))
    train_rows, val_rows = order[:1400], order[1400:]
    val_images, val_labels = place(images[val_rows]), labels[val_rows]

    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        rows = train_rows[torch.randint(len(train_rows), (64,))]
        loss = loss_fn(model(place(images[rows])), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                accuracy = (model(val_images).argmax(1) == val_labels).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
