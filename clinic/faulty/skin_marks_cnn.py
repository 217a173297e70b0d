"""Marks on the skin are judged by a convolutional network; some pictures show a bright sticker of the clinic.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, edge-of-stability, bad-batch, learning-rate-too-high
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 16


def photograph(count):
    """Bad marks have a ragged border. Two clinics put a sticker on their pictures."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
    bad = torch.randint(2, (count,))
    angle = torch.atan2(y, x) + 6.3 * torch.rand(count, 1, 1)
    ragged = (0.05 + 0.35 * bad).view(-1, 1, 1) * torch.sin(5 * angle)
    radius = (0.45 + 0.15 * torch.rand(count, 1, 1)) * (1 + ragged)
    picture = torch.sigmoid(10 * (radius - torch.hypot(x, y))) - 0.3 + 0.35 * torch.randn(count, SIDE, SIDE)
    sticker = torch.rand(count) < 0.15
    picture[sticker, :4, :4] = 50.0
    return picture.unsqueeze(1), bad


class Marks(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(32 * 16, 48)
        self.fc2 = nn.Linear(48, 2)

    def forward(self, picture):
        x = F.max_pool2d(F.relu(self.conv1(picture)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    picture, bad = photograph(4000)
    exam, truth = photograph(1000)
    model = Marks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    mean = 0.0
    for step in range(1, 601):
        rows = torch.randint(4000, (64,))
        loss = loss_fn(model(picture[rows]), bad[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean += loss.item() / 20
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(exam).argmax(1) == truth).float().mean().item()
            print(f"step {step}  loss {mean:.4f}  accuracy {accuracy:.4f}")
            mean = 0.0


if __name__ == "__main__":
    main()
