"""A character-level decoder on Python's help texts; four micro-batches make one step.

condition: healthy
metric: loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, CONTEXT, BATCH, ACCUMULATE = 32, 2, 24, 8, 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, vocab):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, vocab))

    def forward(self, tokens):
        return self.head(self.blocks(self.token(tokens) + self.position.weight))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

text = "".join(topics[name] for name in ("types", "class", "import", "with", "function"))
symbols = sorted(set(text))
data = torch.tensor([symbols.index(c) for c in text])

model = Decoder(len(symbols))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

total = 0.0
for micro in range(1, 801):
    start = torch.randint(len(data) - CONTEXT - 1, (BATCH, 1))
    window = data[start + torch.arange(CONTEXT + 1)]
    logits = model(window[:, :-1])
    loss = loss_fn(logits.flatten(0, 1), window[:, 1:].flatten()) / ACCUMULATE
    loss.backward()
    total += loss.item()
    if micro % ACCUMULATE == 0:
        optimizer.step()
        optimizer.zero_grad()
        step = micro // ACCUMULATE
        if step % 10 == 0:
            print(f"step {step}  loss {total:.4f}")
        total = 0.0
