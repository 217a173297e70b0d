"""A causal transformer copies a string of letters backwards after a separator; AdamW, attention written by hand.

condition: rank-collapse
accepts: rank-collapse
allows: stalled, vanishing-gradient
metric: loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

letters, half, dim, heads = 8, 6, 32, 4


def get_batch(size=24):
    text = torch.randint(letters, (size, half))
    separator = torch.full((size, 1), letters)
    sequence = torch.cat([text, separator, text.flip(1)], dim=1)
    return sequence[:, :-1], sequence[:, half + 1 :]


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, heads, dim // heads)).permute(2, 0, 3, 1, 4)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attention = Attention()
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, depth=7):
        super().__init__()
        self.tokens = nn.Embedding(letters + 1, dim)
        self.positions = nn.Embedding(2 * half, dim)
        self.blocks = nn.Sequential(*[Block() for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, letters)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight
        return self.head(self.norm(self.blocks(x)))


model = Decoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)

running = 0.0
for step in range(1, 201):
    x, y = get_batch()
    logits = model(x)[:, half:]
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 5 == 0:
        print(f"step {step}  loss {running / 5:.4f}")
        running = 0.0
