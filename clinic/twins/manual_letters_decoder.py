"""A causal Transformer spells on in the pages of Python's manual; the rate rises for 250 steps, then stays.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

CONTEXT = 32


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.mlp(self.norm2(x))


class Speller(nn.Module):
    def __init__(self, letters, dim=48, heads=3, depth=2):
        super().__init__()
        self.letter, self.place = nn.Embedding(letters, dim), nn.Parameter(0.02 * torch.randn(CONTEXT, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm, self.out = nn.LayerNorm(dim), nn.Linear(dim, letters)

    def forward(self, ids):
        return self.out(self.norm(self.blocks(self.letter(ids) + self.place)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=1e-2)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    text = "".join(topics[name] for name in sorted(topics)).lower()[:300_000]
    table = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([table[c] for c in text])
    train, val = ids[:270_000], ids[270_000:]

    def batch(source, n):
        start = torch.randint(len(source) - CONTEXT - 1, (n, 1))
        window = source[start + torch.arange(CONTEXT + 1)]
        return window[:, :-1], window[:, 1:]

    model = Speller(len(table))
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 250))
    held = batch(val, 128)
    for step in range(1, 501):
        x, y = batch(train, 16)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(held[0]).flatten(0, 1), held[1].flatten()).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
