"""Tag every symbol of a string by whether it is repeated, mirrored or followed by a larger one: an attention stack.

condition: rank-collapse
accepts: rank-collapse
allows: vanishing-gradient, stalled, off-critical-initialisation
metric: token_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

VOCAB, LENGTH, TAGS = 12, 16, 4


def strings(n: int) -> tuple[Tensor, Tensor]:
    s = torch.randint(VOCAB, (n, LENGTH))
    counts = (s[:, :, None] == s[:, None, :]).sum(-1)
    following = torch.roll(s, -1, 1)
    tags = 2 * (counts > 1).long() + (following > s).long()
    return s, tags


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        n, length, d = x.shape
        q, k, v = self.qkv(x).view(n, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        att = (q @ k.transpose(-1, -2) / math.sqrt(d // self.heads)).softmax(-1)
        return self.proj((att @ v).transpose(1, 2).reshape(n, length, d))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class Tagger(nn.Module):
    def __init__(self, dim: int = 48, heads: int = 4, depth: int = 5):
        super().__init__()
        self.symbol = nn.Embedding(VOCAB, dim)
        self.place = nn.Parameter(torch.randn(LENGTH, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, TAGS))

    def forward(self, s: Tensor) -> Tensor:
        return self.head(self.blocks(self.symbol(s) + self.place))


def main() -> None:
    ap = argparse.ArgumentParser()
    ap.add_argument("--seed", type=int, default=0)
    torch.manual_seed(ap.parse_args().seed)
    test_s, test_tags = strings(400)
    model = Tagger()
    total = 500
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, betas=(0.9, 0.98), weight_decay=0.01)
    lr = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / 50, 0.5 + 0.5 * math.cos(math.pi * i / total))
    )
    for step in range(1, total + 1):
        s, tags = strings(64)
        loss = F.cross_entropy(model(s).flatten(0, 1), tags.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        lr.step()
        if step % 25 == 0:
            with torch.no_grad():
                token_error = (model(test_s).argmax(-1) != test_tags).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  token_error {token_error.item():.4f}")


if __name__ == "__main__":
    main()
