"""A small encoder marks the wagons of a goods train that must be shunted out; its skips are faded while it learns.

condition: healthy
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

KINDS, WAGONS, WIDTH, HEADS, DEPTH, STEPS = 8, 12, 32, 4, 6, 640


def trains(count):
    """Tankers (kind 0) next to flammables (1), empties (2) ahead of the last loaded wagon (3), and every kind 7."""
    kind = torch.randint(KINDS, (count, WAGONS))
    flammable = F.pad((kind == 1).int(), (1, 1))
    beside = (flammable[:, :-2] + flammable[:, 2:]) > 0
    loaded_behind = (kind == 3).int().flip(1).cumsum(1).flip(1) > 0
    out = ((kind == 0) & beside) | ((kind == 2) & loaded_behind) | (kind == 7)
    return kind, out.long()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def attend(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))

    def forward(self, x, skip):
        x = skip * x + self.attend(self.norm1(x))
        return skip * x + self.mlp(self.norm2(x))


class Shunter(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind = nn.Embedding(KINDS, WIDTH)
        self.place = nn.Parameter(0.3 * torch.randn(WAGONS, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(DEPTH)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 2)
        self.skip = 1.0

    def forward(self, kind):
        x = self.kind(kind) + self.place
        for block in self.blocks:
            x = block(x, self.skip)
        return self.head(self.norm(x))


def skip_weight(step, start=280, end=440, lowest=0.6):
    done = min(1.0, max(0.0, (step - start) / (end - start)))
    return 1 - (1 - lowest) * done


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

held = trains(300)
model = Shunter()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 60))
for step in range(1, STEPS + 1):
    model.skip = skip_weight(step)
    kind, out = trains(24)
    loss = F.cross_entropy(model(kind).flatten(0, 1), out.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warm.step()
    if step % 32 == 0:
        with torch.no_grad():
            wrong = (model(held[0]).argmax(2) != held[1]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {wrong:.4f}")
