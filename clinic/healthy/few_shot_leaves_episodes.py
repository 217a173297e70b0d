"""Two views of a leaf's outline are matched in a batch; the contrast uses a low temperature.

condition: healthy
metric: matched max
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

POINTS, HARMONICS = 48, 6


def leaves(n):
    return torch.randn(n, HARMONICS, 2) / torch.arange(1, HARMONICS + 1).view(1, -1, 1)


def view(leaf):
    """Radius around the outline, from a random start, with grain."""
    turn = torch.arange(POINTS) * (6.2832 / POINTS) + 1.5 * torch.rand(len(leaf), 1)
    waves = torch.arange(1, HARMONICS + 1).view(1, -1, 1) * turn[:, None]
    outline = (leaf[..., :1] * torch.cos(waves) + leaf[..., 1:] * torch.sin(waves)).sum(1)
    return (outline + 0.15 * torch.randn_like(outline)).unsqueeze(1)


class Encoder(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        ring = dict(padding_mode="circular", stride=2)
        self.conv = nn.Sequential(
            nn.Conv1d(1, width, 7, padding=3, **ring),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2, **ring),
            nn.GELU(),
            nn.Flatten(),
            nn.Linear(width * POINTS // 4, 64),
            nn.GELU(),
            nn.Linear(64, 32),
        )

    def forward(self, x):
        return F.normalize(self.conv(x), dim=1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    test = leaves(400)
    one, two = view(test), view(test)
    for step in range(1, 601):
        batch = leaves(64)
        logits = model(view(batch)) @ model(view(batch)).T / 0.1
        answer = torch.arange(64)
        loss = (F.cross_entropy(logits, answer) + F.cross_entropy(logits.T, answer)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                matched = ((model(one) @ model(two).T).argmax(1) == torch.arange(400)).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  matched {matched:.4f}")


main()
