"""Silhouettes of plankton are sorted into six kinds while the camera's files are read one after the other.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIDE, KINDS = 20, 6


class Silhouettes(Dataset):
    """The outline of a kind has a number of lobes; size, depth of the lobes and pose vary."""

    def __init__(self, count):
        y, x = torch.meshgrid(torch.linspace(-1, 1, SIDE), torch.linspace(-1, 1, SIDE), indexing="ij")
        self.kind = torch.randint(KINDS, (count,))
        dx, dy = 0.15 * torch.randn(2, count, 1, 1)
        radius = torch.hypot(x - dx, y - dy)
        angle = torch.atan2(y - dy, x - dx) + 2 * math.pi * torch.rand(count, 1, 1)
        lobes = torch.tensor([0, 1, 2, 3, 4, 5])[self.kind].view(-1, 1, 1)
        edge = (0.5 + 0.15 * torch.rand(count, 1, 1)) * (1 + 0.35 * torch.cos(lobes * angle))
        shape = torch.sigmoid(12 * (edge - radius)) - 0.4
        self.image = (shape + 0.35 * torch.randn(count, SIDE, SIDE)).unsqueeze(1)

    def __len__(self):
        return len(self.kind)

    def __getitem__(self, row):
        return self.image[row], self.kind[row]


class Feeder:
    """Keeps a batch ready, so that training does not have to wait for the disk."""

    def __init__(self, loader):
        self.loader = loader
        self.source = iter(loader)
        self.ready = next(self.source)

    def next(self):
        batch = self.ready
        try:
            self.ready = next(self.source)
        except StopIteration:
            self.source = iter(self.loader)
            self.ready = next(self.source)
        return batch


def build():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 25, 64),
        nn.ReLU(),
        nn.Linear(64, KINDS),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    loader = DataLoader(Silhouettes(9600), batch_size=64, shuffle=True, drop_last=True)
    exam = Silhouettes(1000)
    feeder = Feeder(loader)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, args.steps + 1):
        image, kind = feeder.next()
        loss = loss_fn(model(image), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(exam.image), exam.kind).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
