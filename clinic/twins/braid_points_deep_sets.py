"""Deep sets tell six kinds of closed cord patterns from points picked up along the cord.

First on clean drawings, then on photographs, which miss points and have noise.

condition: healthy
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

PATTERNS = [(1, 2), (2, 3), (3, 4), (1, 3), (3, 5), (2, 5)]
POINTS = 48


def draw(pattern, count, noise, generator):
    """Points of x = cos(p t + phase), y = sin(q t), turned by a small random angle."""
    p, q = PATTERNS[pattern]
    t = 2 * math.pi * torch.rand(count, POINTS, generator=generator)
    phase = 0.15 * torch.randn(count, 1, generator=generator)
    turn = 0.15 * torch.randn(count, 1, generator=generator)
    x, y = torch.cos(p * t + phase), torch.sin(q * t)
    points = torch.stack([turn.cos() * x - turn.sin() * y, turn.sin() * x + turn.cos() * y], -1)
    return points + noise * torch.randn(points.shape, generator=generator)


def collect(per_pattern, noise, generator):
    points = torch.cat([draw(k, per_pattern, noise, generator) for k in range(len(PATTERNS))])
    label = torch.arange(len(PATTERNS)).repeat_interleave(per_pattern)
    return TensorDataset(points, label)


class DeepSets(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.frequencies = nn.Parameter(3.0 * torch.randn(2, 32))
        self.element = nn.Sequential(nn.Linear(64, width), nn.GELU(), nn.Linear(width, width), nn.GELU())
        self.whole = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(PATTERNS)))

    def forward(self, points):
        waves = points @ self.frequencies
        return self.whole(self.element(torch.cat([waves.sin(), waves.cos()], -1)).mean(1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clean-epochs", type=int, default=8)
    parser.add_argument("--photo-epochs", type=int, default=14)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)

    drawings = collect(150, 0.02, generator)
    photographs = collect(150, 0.1, generator)
    valid_points, valid_label = collect(60, 0.1, generator).tensors
    stages = [
        (DataLoader(drawings, batch_size=32, shuffle=True, generator=generator), arguments.clean_epochs),
        (DataLoader(photographs, batch_size=32, shuffle=True, generator=generator), arguments.photo_epochs),
    ]

    model = DeepSets()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    step = 0
    for loader, epochs in stages:
        for _ in range(epochs):
            for points, label in loader:
                loss = loss_fn(model(points), label)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                step += 1
                if step % 15 == 0:
                    with torch.no_grad():
                        accuracy = (model(valid_points).argmax(1) == valid_label).float().mean().item()
                    print(f"step {step:4d}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
