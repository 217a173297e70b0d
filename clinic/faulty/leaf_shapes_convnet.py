"""Five shapes of leaves in rough pictures, a small convolutional network, large batches and a rate scaled to them.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: dead-units, divergence, loss-spike, unsafe-step, exploding-gradient, stalled, non-finite
metric: accuracy max
"""

import argparse

import torch
from torch import nn

SIDE, SHAPES = 16, 5


def leaves(count):
    shape = torch.randint(SHAPES, (count,))
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    turn = 1.5 * torch.rand(count, 1, 1)
    radius, angle = (x**2 + y**2).sqrt(), torch.atan2(y, x) + turn
    lobes = (shape + 1).view(-1, 1, 1)
    edge = 0.6 + 0.25 * torch.cos(lobes * angle)
    image = torch.sigmoid(12 * (edge - radius)) + 0.2 * torch.randn(count, SIDE, SIDE)
    return image.unsqueeze(1) - 0.4, shape


def convnet():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, SHAPES),
    )


def scaled_rate(base, batch_size, reference=16):
    return base * batch_size / reference


def train(model, loss_fn, batch_size=64, base=0.15, steps=200):
    optimizer = torch.optim.SGD(model.parameters(), lr=scaled_rate(base, batch_size), momentum=0.9, nesterov=True)
    val_images, val_shapes = leaves(300)
    for step in range(1, steps + 1):
        images, shapes = leaves(batch_size)
        loss = loss_fn(model(images), shapes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                accuracy = (model(val_images).argmax(1) == val_shapes).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = convnet()
    train(model, nn.CrossEntropyLoss())
