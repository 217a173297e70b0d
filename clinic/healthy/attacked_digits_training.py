"""Digits that hold against attacks: each batch is first changed, within bounds, so as to hurt the network most.

condition: healthy
metric: robust max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn


class Attack:
    """Projected gradient ascent on the loss within a cube around the picture."""

    def __init__(self, loss_fn, radius, steps):
        self.loss_fn, self.radius, self.steps = loss_fn, radius, steps

    def __call__(self, model, images, labels):
        shift = self.radius * (2 * torch.rand_like(images) - 1)
        for _ in range(self.steps):
            shift.requires_grad_(True)
            loss = self.loss_fn(model(images + shift), labels)
            (slope,) = torch.autograd.grad(loss, shift)
            shift = (shift.detach() + 0.5 * self.radius * slope.sign()).clamp(-self.radius, self.radius)
        return (images + shift).clamp(0, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pixels, digits = load_digits(return_X_y=True)
    order = torch.randperm(len(pixels))
    images = torch.tensor(pixels, dtype=torch.float32)[order].view(-1, 1, 8, 8) / 16
    labels = torch.tensor(digits)[order]
    train, test = slice(0, 1400), slice(1400, None)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    loss_fn = nn.CrossEntropyLoss()
    attack = Attack(loss_fn, radius=0.12, steps=3)
    for step in range(1, 301):
        rows = torch.randint(1400, (48,))
        hurt = attack(model, images[train][rows], labels[train][rows])
        loss = loss_fn(model(hurt), labels[train][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            hurt = attack(model, images[test], labels[test])
            with torch.no_grad():
                robust = (model(hurt).argmax(1) == labels[test]).float().mean().item()
                clean = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  clean {clean:.4f}  robust {robust:.4f}")


if __name__ == "__main__":
    main()
