"""Two views of one sky find each other: an encoder of cloud pictures learns from pairs of them.

condition: healthy
metric: val_recall max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def skies(count, g):
    """Smooth random fields: low waves of random phase, 12 x 12."""
    axis = torch.arange(12.0)
    field = torch.zeros(count, 12, 12)
    for _ in range(6):
        kx, ky = 0.7 * torch.randn(2, count, 1, 1, generator=g)
        phase = 6.28 * torch.rand(count, 1, 1, generator=g)
        field += torch.cos(kx * axis.view(1, 12, 1) + ky * axis + phase)
    return field / 6**0.5


def view(field, g):
    """Another haze, and one corner is hidden by a mast."""
    top, left = (6 * torch.randint(0, 2, (2,), generator=g)).tolist()
    seen = (1 + 0.2 * torch.randn(len(field), 1, 1, generator=g)) * field
    seen = seen + 0.5 * torch.randn(field.shape, generator=g)
    seen[:, top : top + 6, left : left + 6] = 0.0
    return seen.unsqueeze(1)


class SkyEncoder(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
        )
        self.project = nn.Sequential(nn.Linear(18 * width, 96), nn.ReLU(), nn.Linear(96, 32))

    def forward(self, x):
        return F.normalize(self.project(self.trunk(x)), dim=1)


def info_nce(a, b, temperature):
    logits = a @ b.T / temperature
    labels = torch.arange(len(a))
    return 0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=0.1)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    train, val = skies(3000, g), skies(256, g)
    val_a, val_b = view(val, g), view(val, g)
    model = SkyEncoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 401):
        batch = train[torch.randint(len(train), (64,), generator=g)]
        a, b = model(view(batch, g)), model(view(batch, g))
        loss = info_nce(a, b, args.temperature)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                a, b = model(val_a), model(val_b)
                recall = ((a @ b.T).argmax(1) == torch.arange(len(a))).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_recall {recall:.4f}")


main()
