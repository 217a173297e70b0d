"""Knots, splits and clean wood on board scans: the head first, then all of the network with a smaller rate.

condition: missing-zero-grad
accepts: missing-zero-grad
allows: learning-rate-too-high, divergence, dead-units, unsafe-step, loss-spike, exploding-gradient, non-finite, stalled
metric: accuracy max
"""

import argparse

import torch
from torch import nn

NAMES = ("clean", "knot", "split", "resin")


def boards(count, generator):
    """16 x 16 scans: a grain of stripes, and on it what is to be found."""
    draw = lambda *s: torch.rand(*s, generator=generator)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    kind = torch.randint(0, len(NAMES), (count,), generator=generator)
    tilt, phase = 0.3 * (draw(count, 1, 1) - 0.5), 6.28 * draw(count, 1, 1)
    image = 0.6 * torch.sin(1.6 * (y + tilt * x) + phase)
    cy, cx = 4 + 8 * draw(count, 1, 1), 4 + 8 * draw(count, 1, 1)
    far = ((y - cy) ** 2 + (x - cx) ** 2).sqrt()
    marks = torch.stack(
        [
            torch.zeros(count, 16, 16),
            torch.cos(1.5 * far) * torch.exp(-far / 3),
            -1.0 * ((x - cx).abs() < 1) * ((y - cy).abs() < 5),
            -1.0 * ((y - cy).abs() < 1) * ((x - cx).abs() < 5),
        ],
        1,
    )
    image = image + marks[torch.arange(count), kind] + 0.5 * torch.randn(count, 16, 16, generator=generator)
    return image.unsqueeze(1), kind


def block(a, b):
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))


def epoch_over(data, model, size, generator):
    for batch in torch.randperm(len(data[0]), generator=generator).split(size):
        yield nn.functional.cross_entropy(model(data[0][batch]), data[1][batch])


def report(epoch, model, data):
    with torch.no_grad():
        right = (model(data[0]).argmax(1) == data[1]).float().mean().item()
    print(f"epoch {epoch}  accuracy {right:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, test = boards(1600, generator), boards(800, generator)
    trunk = nn.Sequential(block(1, 12), block(12, 16), block(16, 16), nn.Flatten())
    head = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, len(NAMES)))
    model = nn.Sequential(trunk, head)

    trunk.requires_grad_(False)
    head_optimizer = torch.optim.SGD(head.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, 8):
        for loss in epoch_over(train, model, 32, generator):
            head_optimizer.zero_grad()
            loss.backward()
            head_optimizer.step()
        report(epoch, model, test)

    trunk.requires_grad_(True)
    optimizer = torch.optim.SGD(trunk.parameters(), lr=0.02, momentum=0.9)
    for group in head_optimizer.param_groups:
        group["lr"] = 0.01
    for epoch in range(8, 21):
        for loss in epoch_over(train, model, 32, generator):
            head_optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            head_optimizer.step()
        report(epoch, model, test)


main()
