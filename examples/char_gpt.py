"""A character-level GPT that learns to write Python's own help texts (the standard library carries them).

python examples/char_gpt.py                # some twenty seconds on two cores
python examples/char_gpt.py --lr 1.0       # ruined: steps far too large
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

HEAD, CONTEXT, BATCH = 24, 48, 24


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, -1, HEAD)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, vocab, depth, detach_embedding, width):
        super().__init__()
        self.detach_embedding = detach_embedding
        self.token, self.position = nn.Embedding(vocab, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab)
        for name, p in self.named_parameters():
            if p.dim() == 2:  # as GPT-2: what writes into the residual stream starts smaller, the deeper the model
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * depth) if "proj" in name or "fc2" in name else 0.02)

    def forward(self, tokens):
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        if self.detach_embedding:
            x = x.detach()
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400, help="optimiser steps (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=3e-3, help="peak learning rate (default: %(default)s)")
    parser.add_argument("--depth", type=int, default=4, help="number of blocks (default: %(default)s)")
    parser.add_argument("--width", type=int, default=96, help="width, in heads of 24 (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-zero-grad", action="store_true", help="mistake: the gradients of all steps add up")
    parser.add_argument("--double-softmax", action="store_true", help="mistake: softmax, then cross_entropy")
    parser.add_argument("--detach-embedding", action="store_true", help="mistake: no gradient reaches the embeddings")
    parser.add_argument("--head-only-optimizer", action="store_true", help="mistake: the optimiser holds only the head")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    text = "\n\n".join(topics[name] for name in sorted(topics))
    symbols = sorted(set(text))
    data = torch.tensor([symbols.index(c) for c in text])
    train, val = data.split([int(0.9 * len(data)), len(data) - int(0.9 * len(data))])

    model = GPT(len(symbols), args.depth, args.detach_embedding, args.width)
    held = model.head if args.head_only_optimizer else model
    optimizer = torch.optim.AdamW(held.parameters(), lr=args.lr, betas=(0.9, 0.95), weight_decay=0.1)
    warmup = max(1, args.steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda t: min((t + 1) / warmup, 0.55 + 0.45 * math.cos(math.pi * t / args.steps))
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(text):,} characters, {len(symbols)} kinds")

    def loss_on(source, size):
        starts = torch.randint(len(source) - CONTEXT, (size, 1))
        windows = source[starts + torch.arange(CONTEXT + 1)]
        logits = model(windows[:, :-1]).flatten(0, 1)
        return F.cross_entropy(logits.softmax(-1) if args.double_softmax else logits, windows[:, 1:].flatten())

    for step in range(1, args.steps + 1):
        loss = loss_on(train, BATCH)
        if not args.no_zero_grad:
            optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step == 1 or step % 25 == 0:
            print(f"step {step:4d}  loss {loss.item():.3f}", flush=True)

    with torch.no_grad():
        print(f"validation loss {loss_on(val, 256).item():.3f}")


if __name__ == "__main__":
    main()
