"""A network reads handwritten digits through fog that thickens as training goes on.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F


def fog(images, thickness, generator):
    """Blur by neighbour averaging, grey haze, and the noise of a camera at full gain."""
    soft = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    hazy = (1 - 0.6 * thickness) * images + 0.6 * thickness * soft
    hazy = (1 - 0.4 * thickness) * hazy
    return hazy + 0.3 * thickness * torch.randn(images.shape, generator=generator)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=900)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    bunch = load_digits()
    images = torch.tensor(bunch.images, dtype=torch.float32)[:, None] / 8 - 1
    label = torch.tensor(bunch.target)
    order = torch.randperm(len(images), generator=generator)
    images, label = images[order], label[order]
    train_images, train_label = images[:1400], label[:1400]
    test_images, test_label = fog(images[1400:], 1.0, generator), label[1400:]

    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.BatchNorm2d(24),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=0.02)
    for step in range(1, arguments.steps + 1):
        thickness = min(1.0, step / 600)
        rows = torch.randint(len(train_images), (64,), generator=generator)
        loss = loss_fn(model(fog(train_images[rows], thickness, generator)), train_label[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            model.eval()
            with torch.no_grad():
                accuracy = (model(test_images).argmax(1) == test_label).float().mean().item()
            model.train()
            print(f"step {step:4d}  fog {thickness:.2f}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
