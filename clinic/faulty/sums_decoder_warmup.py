"""A decoder learns to add two numbers of two digits, last digit first; AdamW with a long linear warm-up.

condition: learning-rate-too-high
accepts: learning-rate-too-high, loss-spike, divergence
allows: unsafe-step, stalled, attention-logit-growth, rank-collapse, output-logit-divergence, dead-units,
  exploding-gradient
metric: val_loss min
"""

import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    dim: int = 48
    heads: int = 4
    depth: int = 2
    batch: int = 64
    steps: int = 440
    warmup: int = 400
    peak: float = 0.06


def problems(count, generator=None):
    """Token rows `b0 b1 a0 a1 = s0 s1 s2`, the last digit of each number first; '=' is token 10."""
    a, b = (torch.randint(100, (count,), generator=generator) for _ in range(2))
    s = a + b
    columns = (b % 10, b // 10, a % 10, a // 10, torch.full_like(a, 10), s % 10, s // 10 % 10, s // 100)
    return torch.stack(columns, 1)


class Layer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.heads = cfg.heads
        self.norms = nn.ModuleList(nn.LayerNorm(cfg.dim) for _ in range(2))
        self.inner = nn.Linear(cfg.dim, 3 * cfg.dim)
        self.outer = nn.Linear(cfg.dim, cfg.dim)
        self.up, self.down = nn.Linear(cfg.dim, 4 * cfg.dim), nn.Linear(4 * cfg.dim, cfg.dim)

    def forward(self, x):
        parts = self.inner(self.norms[0](x)).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.outer(seen.transpose(1, 2).flatten(2))
        return x + self.down(F.relu(self.up(self.norms[1](x))))


class Adder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.tokens = nn.Embedding(11, cfg.dim)
        self.places = nn.Embedding(8, cfg.dim)
        self.layers = nn.Sequential(*(Layer(cfg) for _ in range(cfg.depth)))
        self.head = nn.Linear(cfg.dim, 11)

    def forward(self, rows):
        x = self.tokens(rows) + self.places(torch.arange(rows.shape[1]))
        return self.head(self.layers(x))


def answer_loss(model, rows):
    logits = model(rows[:, :-1])[:, 4:]
    return F.cross_entropy(logits.flatten(0, 1), rows[:, 5:].flatten())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    cfg = Config()
    model = Adder(cfg)
    optimizer = torch.optim.AdamW(model.parameters(), lr=cfg.peak, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / cfg.warmup))
    val = problems(500, torch.Generator().manual_seed(seed + 1))
    for step in range(1, cfg.steps + 1):
        loss = answer_loss(model, problems(cfg.batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = answer_loss(model, val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
