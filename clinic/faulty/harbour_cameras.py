"""Vessels on the pictures of a harbour: a small network learns with one camera, then a second camera joins.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: loss-spike, unsafe-step, dead-units, learning-rate-too-high, divergence, bad-batch,
  softmax-collapse, exploding-gradient, stalled
metric: val_accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset

KINDS = 6


class Camera(Dataset):
    """Grey pictures of 14 x 14: a hull, a superstructure and masts, by kind; the sea is noise."""

    def __init__(self, count, light, g):
        self.label = torch.randint(KINDS, (count,), generator=g)
        picture = 0.25 + 0.1 * torch.randn(count, 14, 14, generator=g)
        for i, kind in enumerate(self.label.tolist()):
            left, water = torch.randint(0, 4, (2,), generator=g).tolist()
            length = 10 if kind % 2 else 6
            picture[i, 8 + water : 10 + water, left : left + length] += 0.5
            picture[i, 6 + water : 8 + water, left + (kind // 2) * 2 : left + (kind // 2) * 2 + 2] += 0.4
        self.picture = (light * picture).clamp(0, 1).unsqueeze(1)

    def __len__(self):
        return len(self.label)

    def __getitem__(self, i):
        return self.picture[i], self.label[i]


class StreamCamera(Camera):
    """The newer camera delivers bytes."""

    def __init__(self, count, light, g):
        super().__init__(count, light, g)
        self.picture = (self.picture * 255).round().to(torch.uint8)

    def __getitem__(self, i):
        return self.picture[i].float(), self.label[i]


def evaluate(model, loader):
    with torch.no_grad():
        hits = [(model(x).argmax(1) == y).float() for x, y in loader]
    return torch.cat(hits).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    quay = Camera(1600, 1.0, g)
    both = ConcatDataset([quay, StreamCamera(600, 0.8, g)])
    val = DataLoader(Camera(500, 1.0, g), batch_size=250)

    model = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 49, 48),
        nn.ReLU(),
        nn.Linear(48, KINDS),
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, weight_decay=1e-4)
    for epoch in range(1, 21):
        for x, y in DataLoader(quay if epoch <= 10 else both, batch_size=64, shuffle=True):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_accuracy {evaluate(model, val):.4f}")


main()
