"""A small causal Transformer writes on from the pages of Python's own help, in bfloat16 autocast.

condition: output-logit-divergence
accepts: output-logit-divergence
allows: low-precision-underflow, divergence
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

text = "\n".join(topics[key] for key in sorted(topics))[:240_000]
chars = sorted(set(text))
data = torch.tensor([chars.index(c) for c in text])
train, held = data[:200_000], data[200_000:]
CONTEXT = 24


def batch(source, size):
    start = torch.randint(len(source) - CONTEXT - 1, (size,))
    rows = torch.stack([source[s : s + CONTEXT + 1] for s in start])
    return rows[:, :-1], rows[:, 1:]


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, c))
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    def __init__(self, vocab, width=48):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocab, width), nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(Block(width, 4))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocab)

    def forward(self, x):
        x = self.tokens(x) + self.places.weight
        return self.head(self.norm(self.blocks(x)))


def objective(logits, target, z_weight=0.3):
    logits = logits.float()
    log_z = torch.logsumexp(logits, -1)
    nll = F.cross_entropy(logits.flatten(0, 1), target.flatten())
    return nll + z_weight * log_z.mean(), nll


model = Decoder(len(chars))
optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 50, 1.0) * (1 - 0.8 * s / 600))
fixed = [batch(held, 48) for _ in range(3)]
for step in range(1, 601):
    x, y = batch(train, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(x)
    loss, nll = objective(logits, y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 30 == 0:
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            val = sum(objective(model(a), b)[1].item() for a, b in fixed) / len(fixed)
        print(f"step {step}  nll {nll.item():.4f}  val_loss {val:.4f}")
