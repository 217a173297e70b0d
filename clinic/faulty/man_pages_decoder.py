"""A causal Transformer spells on in Python's help pages; the last part of the run is on the pages about classes and types.

condition: loss-spike
accepts: loss-spike, learning-rate-too-high, unsafe-step
allows: divergence, edge-of-stability, exploding-gradient, attention-logit-growth, stalled
metric: val_loss min
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

BLOCK, WIDTH = 32, 48


class Decoder(nn.Module):
    def __init__(self, letters):
        super().__init__()
        self.token, self.place = nn.Embedding(letters, WIDTH), nn.Embedding(BLOCK, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, letters))
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(BLOCK))

    def forward(self, x):
        hidden = self.token(x) + self.place(torch.arange(BLOCK))
        return self.out(self.layers(hidden, mask=self.mask, is_causal=True))


def encode(text, letters):
    table = {c: i for i, c in enumerate(letters)}
    return torch.tensor([table[c] for c in text])


def batch(codes, count):
    at = torch.randint(0, len(codes) - BLOCK - 1, (count, 1)) + torch.arange(BLOCK + 1)
    return codes[at[:, :-1]], codes[at[:, 1:]]


def run(model, codes, held, first, steps, peak, warmup):
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=(0.9, 0.98))
    for i in range(steps):
        rate = min(1.0, (i + 1) / warmup) * (0.55 + 0.45 * math.cos(math.pi * i / steps))
        optimizer.param_groups[0]["lr"] = peak * rate
        x, y = batch(codes, 24)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (first + i + 1) % 30 == 0:
            with torch.no_grad():
                val_loss = F.cross_entropy(model(held[0]).flatten(0, 1), held[1].flatten()).item()
            print(f"step {first + i + 1}  loss {loss.item():.4f}  val_loss {val_loss:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    about = [k for k in sorted(topics) if "class" in k or "type" in k]
    letters = sorted(set("".join(topics.values())))
    general = encode("".join(topics[k] for k in sorted(topics) if k not in about), letters)
    special = encode("".join(topics[k] for k in about), letters)
    cut = int(0.85 * len(special))
    held = batch(special[cut:], 150)
    model = Decoder(len(letters))
    run(model, general, held, 0, 540, peak=4e-3, warmup=60)
    run(model, special[:cut], held, 540, 180, peak=4e-2, warmup=1)


main()
