"""Which of six shapes is in a noisy picture? The batch grows in two stages, and the rate grows with it.

condition: healthy
metric: accuracy max
"""

import argparse
from typing import NamedTuple

import torch
from torch import nn


class Stage(NamedTuple):
    until: int
    batch: int


STAGES = [Stage(150, 16), Stage(230, 64), Stage(330, 320)]
BASE_RATE = 0.02


def pictures(count, side=12):
    """A bar, a column, a cross, a ring, a disc or a corner, somewhere, under noise."""
    axis = torch.arange(side).float()
    cy, cx = 3.5 + 4 * torch.rand(2, count, 1, 1)
    y, x = axis.view(1, -1, 1) - cy, axis.view(1, 1, -1) - cx
    r = (x * x + y * y).sqrt()
    bar, column = (y.abs() < 0.8) & (x.abs() < 3), (x.abs() < 0.8) & (y.abs() < 3)
    corner = ((x.abs() < 0.8) & (y > -0.8) & (y < 3)) | ((y.abs() < 0.8) & (x > -0.8) & (x < 3))
    shapes = torch.stack([bar, column, bar | column, (r < 3.2) & (r > 1.8), r < 2.4, corner], 1).float()
    label = torch.randint(6, (count,))
    return shapes[torch.arange(count), label].unsqueeze(1) * 2 + 0.6 * torch.randn(count, 1, side, side), label


class ShapeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 24, 3), nn.ReLU(), nn.Flatten()
        )
        self.classes = nn.Sequential(nn.Linear(216, 48), nn.ReLU(), nn.Linear(48, 6))

    def forward(self, x):
        return self.classes(self.features(x))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    test, labels = pictures(500)
    model = ShapeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=BASE_RATE, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    step = 0
    for stage in STAGES:
        for group in optimizer.param_groups:
            group["lr"] = BASE_RATE * (stage.batch / STAGES[0].batch) ** 0.25
        while step < stage.until:
            step += 1
            batch, batch_labels = pictures(stage.batch)
            loss = loss_fn(model(batch), batch_labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 10 == 0:
                with torch.no_grad():
                    accuracy = (model(test).argmax(1) == labels).float().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
