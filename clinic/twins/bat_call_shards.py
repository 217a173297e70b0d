"""Species of bats from sonograms of their calls: coarse pictures first, then a second round with all the detail.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

SPECIES, BINS = 6, 24


def record_night(species, count):
    """A call sweeps down from one pitch to another; how fast and how bent is the habit of the species."""
    start = 0.75 + 0.04 * (species % 3) + 0.06 * torch.randn(count, 1)
    drop = 0.35 + 0.12 * (species // 3) + 0.05 * torch.randn(count, 1)
    bend = 0.6 + 0.35 * species + 0.12 * torch.randn(count, 1)
    time = torch.linspace(0, 1, BINS)
    pitch = start - drop * time ** bend.clamp(min=0.2)
    height = torch.linspace(0, 1, BINS).view(1, BINS, 1)
    call = torch.exp(-(((height - pitch.unsqueeze(1)) / 0.05) ** 2))
    return (call + 0.3 * torch.randn(count, BINS, BINS) - 0.1).unsqueeze(1), torch.full((count,), species)


class CallNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 12, 3, stride=2, padding=1)
        self.conv2 = nn.Conv2d(12, 24, 3, padding=1)
        self.conv3 = nn.Conv2d(24, 24, 3, padding=1)
        self.out = nn.Linear(24 * 36, SPECIES)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x))
        return self.out(x.flatten(1))


class Coarse(nn.Module):
    """Every second bin, smoothed, and blown up again."""

    def forward(self, x):
        return F.interpolate(F.avg_pool2d(x, 2), scale_factor=2)


def epoch(model, loader, optimizer, prepare):
    total = 0.0
    for calls, species in loader:
        loss = F.cross_entropy(model(prepare(calls)), species)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


@torch.no_grad()
def evaluate(model, calls, species):
    return (model(calls).argmax(1) != species).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    nights = ConcatDataset([TensorDataset(*record_night(kind, 300)) for kind in range(SPECIES)])
    held = [torch.cat(part) for part in zip(*[record_night(kind, 150) for kind in range(SPECIES)], strict=False)]
    model = CallNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    coarse = DataLoader(nights, batch_size=30, shuffle=True)
    detail = DataLoader(nights, batch_size=30, shuffle=True)
    for number in range(1, 19):
        if number <= 8:
            loss = epoch(model, coarse, optimizer, Coarse())
        else:
            loss = epoch(model, detail, optimizer, nn.Identity())
        print(f"epoch {number}  loss {loss:.4f}  error {evaluate(model, *held):.4f}")


if __name__ == "__main__":
    main()
