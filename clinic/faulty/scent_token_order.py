"""The strongest scent that follows a marked one on a trail: an attention encoder of two layers.

condition: attention-logit-growth
accepts: attention-logit-growth, softmax-collapse
allows: vanishing-gradient, stalled, rank-collapse, loss-spike
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Look(nn.Module):
    def __init__(self, width, heads=2):
        super().__init__()
        self.heads, self.norm = heads, nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, h):
        x = self.norm(h)
        q, k, v = (f(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = (q @ k.transpose(2, 3)) * q.shape[-1]
        h = h + self.o((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
        return h + self.mlp(h)


class Trail(nn.Module):
    def __init__(self, kinds=12, length=12, width=48):
        super().__init__()
        self.token = nn.Embedding(kinds, width)
        self.place = nn.Parameter(0.1 * torch.randn(length, width))
        self.layers = nn.Sequential(Look(width), Look(width))
        self.head = nn.Linear(width, kinds)

    def forward(self, x):
        return self.head(self.layers(self.token(x) + self.place))


def trails(n, kinds=12, length=12):
    x = torch.randint(kinds, (n, length))
    return x, (x + x.sort(1).values.roll(1, 1)) % kinds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Trail()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 600, 1e-4)
    val_x, val_y = trails(500)
    for step in range(1, 601):
        x, y = trails(64)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
        if step % 25 == 0 or step == 1:
            with torch.no_grad():
                wrong = (model(val_x).argmax(2) != val_y).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {wrong:.4f}")


main()
