"""An encoder names the degree of each chord of a song in a key that it has to find out by itself.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

OFFSET = torch.tensor([0, 2, 4, 5, 7, 9, 11])
QUALITY = torch.tensor([0, 1, 1, 0, 0, 1, 2])
NEXT = torch.tensor(
    [
        [1, 2, 1, 5, 4, 3, 1],
        [1, 1, 0, 0, 6, 0, 2],
        [0, 1, 1, 3, 0, 5, 0],
        [3, 2, 0, 1, 5, 1, 1],
        [6, 0, 1, 1, 1, 3, 0],
        [0, 3, 1, 4, 2, 1, 0],
        [6, 0, 1, 0, 0, 1, 1],
    ]
).float()


def songs(count, length=20):
    key = torch.randint(12, (count,))
    degree = [torch.randint(7, (count,))]
    for _ in range(length - 1):
        degree.append(torch.multinomial(NEXT[degree[-1]], 1).squeeze(1))
    degree = torch.stack(degree, 1)
    root = (key.unsqueeze(1) + OFFSET[degree]) % 12
    quality = torch.where(torch.rand(count, length) < 0.3, torch.randint(3, (count, length)), QUALITY[degree])
    return 3 * root + quality, degree


class Attention(nn.Module):
    def __init__(self, width, heads=4):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = (p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.qkv(x).chunk(3, 2))
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.attention = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm_a, self.norm_m = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        x = self.norm_a(x + self.attention(x))
        return self.norm_m(x + self.mlp(x))


class Tagger(nn.Module):
    def __init__(self, width=48, depth=5):
        super().__init__()
        self.chord = nn.Embedding(36, width)
        self.place = nn.Parameter(0.02 * torch.randn(20, width))
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.head = nn.Linear(width, 7)

    def forward(self, chords):
        return self.head(self.blocks(self.chord(chords) + self.place))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    steps = 350
    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.15)
    exam, truth = songs(300)
    for step in range(1, steps + 1):
        chords, degree = songs(32)
        loss = F.cross_entropy(model(chords).flatten(0, 1), degree.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(exam).argmax(2) == truth).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
