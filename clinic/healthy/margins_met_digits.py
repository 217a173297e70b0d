"""Digits with a margin loss: each step takes the gradient at weights moved uphill, and margins are soon all met.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Uphill:
    """Moves weights along the gradient by a fixed length, and back."""

    def __init__(self, parameters, radius):
        self.parameters, self.radius = list(parameters), radius

    @torch.no_grad()
    def climb(self):
        size = torch.stack([p.grad.norm() for p in self.parameters]).norm() + 1e-12
        self.moves = [self.radius * p.grad / size for p in self.parameters]
        for p, move in zip(self.parameters, self.moves, strict=True):
            p.add_(move)

    @torch.no_grad()
    def back(self):
        for p, move in zip(self.parameters, self.moves, strict=True):
            p.sub_(move)


def sharpness_aware_step(model, loss_fn, optimizer, uphill, images, labels):
    optimizer.zero_grad()
    loss = loss_fn(model(images), labels)
    loss.backward()
    uphill.climb()
    optimizer.zero_grad()
    loss_fn(model(images), labels).backward()
    uphill.back()
    optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    images, labels = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    images = (images.float() - 8) / 8
    order = torch.randperm(len(images), generator=generator)
    train, test = order[:900], order[900:]
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    uphill = Uphill(model.parameters(), radius=0.02)
    loss_fn = nn.MultiMarginLoss()
    step = 0
    for _ in range(40):
        for rows in train[torch.randperm(900, generator=generator)].split(75):
            step += 1
            loss = sharpness_aware_step(model, loss_fn, optimizer, uphill, images[rows], labels[rows])
            if step % 20 == 0:
                with torch.no_grad():
                    accuracy = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
                print(f"step {step}  loss {loss:.6f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
