"""Ranks of numbers in a list by one transformer block that is used four times; lists get longer at steps 200 and 400.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

LONGEST = 12


class TiedSorter(nn.Module):
    def __init__(self, width=48, heads=4, loops=4):
        super().__init__()
        self.enter = nn.Linear(1, width)
        self.lift = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.block = nn.TransformerEncoderLayer(width, heads, 96, 0.0, "gelu", batch_first=True, norm_first=True)
        self.loops = loops
        self.norm = nn.LayerNorm(width)
        self.rank = nn.Linear(width, LONGEST)

    def forward(self, x):
        h = self.lift(torch.relu(self.enter(x.unsqueeze(2))))
        for _ in range(self.loops):
            h = self.block(h)
        return self.rank(self.norm(h))


def lists(n, length, rng):
    x = 2 * torch.rand(n, length, generator=rng) - 1
    return 1.7 * x, x.argsort(1).argsort(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    model = TiedSorter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(s / 50, 1.0) * (1.05 - s / 700))
    exams = {length: lists(300, length, rng) for length in (5, 8, 12)}
    for step in range(1, 701):
        length = 5 if step <= 200 else 8 if step <= 400 else 12
        x, rank = lists(48, length, rng)
        loss = F.cross_entropy(model(x).flatten(0, 1), rank.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 3.0)
        optimizer.step()
        warm.step()
        if step % 25 == 0:
            x, rank = exams[length]
            with torch.no_grad():
                accuracy = (model(x).argmax(2) == rank).float().mean().item()
            print(f"step {step}  length {length}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
