"""Prototypes in an embedding: five new tile patterns are told apart from four examples of each.

condition: healthy
metric: val_accuracy max
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

WAYS, SHOTS, ASKED, SIDE = 5, 4, 6, 20


def patterns(kinds):
    """Angle, frequency, second angle and its weight of each kind."""
    return torch.stack(
        [math.pi * torch.rand(kinds), 0.5 + 0.9 * torch.rand(kinds), math.pi * torch.rand(kinds), torch.rand(kinds)], 1
    )


def draw(kind):
    """One tile for each row: a random phase, a little turn, and grain."""
    y, x = torch.meshgrid(torch.arange(SIDE).float(), torch.arange(SIDE).float(), indexing="ij")
    first, pitch, second, share = (c.view(-1, 1, 1) for c in kind.unbind(1))
    turn = 0.12 * torch.randn_like(first)
    wave = lambda a: torch.sin(pitch * (x * torch.cos(a + turn) + y * torch.sin(a + turn)) + 6.3 * torch.rand_like(a))
    return (wave(first) + share * wave(second) + 0.9 * torch.randn(len(kind), SIDE, SIDE)).unsqueeze(1)


class Embedding(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Flatten(),
        )

    def forward(self, tiles):
        return self.body(tiles)


def episode(model, kinds):
    chosen = kinds[torch.randperm(len(kinds))[:WAYS]]
    tiles = draw(chosen.repeat_interleave(SHOTS + ASKED, 0))
    code = model(tiles).view(WAYS, SHOTS + ASKED, -1)
    prototypes = code[:, :SHOTS].mean(1)
    queries = code[:, SHOTS:].reshape(WAYS * ASKED, -1)
    distance = 16 * (queries[:, None] - prototypes[None]).square().mean(-1)
    return -distance, torch.arange(WAYS).repeat_interleave(ASKED)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    known, unseen = patterns(60), patterns(60)
    model = Embedding()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, 701):
        model.train()
        logits, answer = episode(model, known)
        loss = F.cross_entropy(logits, answer)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                right = [(lo.argmax(1) == a).float().mean() for lo, a in (episode(model, unseen) for _ in range(25))]
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {torch.stack(right).mean().item():.4f}")


main()
