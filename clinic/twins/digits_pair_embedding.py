"""Metric learning: two digits of one class shall lie close together, two of different classes apart.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


def distance(a, b):
    return ((a - b).pow(2).sum(1) + 1e-12).sqrt()


def contrastive(a, b, same, margin=1.0):
    d = distance(a, b)
    return (same * d.pow(2) + (1 - same) * (margin - d).clamp_min(0).pow(2)).mean()


def nearest_neighbour(model, images, labels):
    """Accuracy of the nearest training digit's label on the test digits."""
    with torch.no_grad():
        codes = model(images)
        nearest = torch.cdist(codes[1200:], codes[:1200]).argmin(1)
    return (labels[:1200][nearest] == labels[1200:]).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
    images = images.float() / 16
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

    for step in range(1, 401):
        first, second = torch.randint(1200, (2, 64))
        same = (labels[first] == labels[second]).float()
        loss = contrastive(model(images[first]), model(images[second]), same)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            accuracy = nearest_neighbour(model, images, labels)
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
