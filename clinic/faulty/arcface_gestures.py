"""Gestures by their path: an angular-margin loss makes three numbers of each, near to the centre of their kind.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

KINDS, POINTS = 40, 16


class AngularMargin(nn.Module):
    """Cosine of embedding and centre of a class, made harder for the right one."""

    def __init__(self, dim, classes, scale=12.0, margin=0.2):
        super().__init__()
        self.centres = nn.Parameter(torch.randn(classes, dim))
        self.scale, self.margin = scale, margin

    def cosine(self, codes):
        return F.normalize(codes) @ F.normalize(self.centres).T

    def forward(self, codes, labels):
        cosine = self.cosine(codes).clamp(-0.999, 0.999)
        harder = torch.cos(torch.acos(cosine) + self.margin)
        right = F.one_hot(labels, cosine.shape[1]).bool()
        return F.cross_entropy(self.scale * torch.where(right, harder, cosine), labels)


class PathEncoder(nn.Module):
    def __init__(self, dim=3):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(2, 24, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(24, 24, 3, padding=1), nn.ReLU()
        )
        self.code = nn.Linear(24 * POINTS // 2, dim)

    def forward(self, paths):
        return self.code(self.conv(paths).flatten(1))


def gestures(kinds, count):
    labels = torch.randint(KINDS, (count,))
    t = torch.linspace(0, 1, POINTS)
    a, b, phase = kinds[labels].unsqueeze(2).unbind(1)
    wobble = 0.25 * torch.randn(count, 1)
    x = torch.sin(2 * torch.pi * a * t + wobble)
    y = torch.sin(2 * torch.pi * b * t + phase + wobble)
    return torch.stack([x, y], 1) + 0.2 * torch.randn(count, 2, POINTS), labels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    kinds = torch.rand(KINDS, 3) * torch.tensor([2.0, 2.0, 6.0]) + torch.tensor([0.3, 0.3, 0.0])
    train = TensorDataset(*gestures(kinds, 3000))
    paths, labels = gestures(kinds, 500)
    model, loss_fn = PathEncoder(), AngularMargin(3, KINDS)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for epoch in range(1, 21):
        total = 0.0
        for x, y in DataLoader(train, 128, shuffle=True):
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x) / len(train)
        with torch.no_grad():
            accuracy = (loss_fn.cosine(model(paths)).argmax(1) == labels).float().mean().item()
        print(f"epoch {epoch}  loss {total:.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
