"""A decoder over characters of Python's help texts; SGD with momentum and clipped gradients, one block.

condition: always-clipping
accepts: always-clipping
allows: learning-rate-too-low, stalled
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

CONTEXT = 24


class Decoder(nn.Module):
    def __init__(self, vocabulary, width=48, heads=4):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(CONTEXT, width)
        self.block = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, tokens):
        x = self.tokens(tokens) + self.places.weight
        return self.head(self.norm(self.block(x, src_mask=self.mask, is_causal=True)))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

text = "".join(topics[name] for name in sorted(topics)[:20])[:40_000].lower()
letters = sorted(set(text))
codes = torch.tensor([letters.index(c) for c in text])
cut = 36_000


def windows(low, high, count):
    start = torch.randint(low, high - CONTEXT - 1, (count, 1)) + torch.arange(CONTEXT)
    return codes[start], codes[start + 1]


model = Decoder(len(letters))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
config = {"max_norm": 1e-3, "steps": 240, "batch": 16}
val_x, val_y = windows(cut, len(codes), 48)

for step in range(1, config["steps"] + 1):
    x, y = windows(0, cut, config["batch"])
    loss = loss_fn(model(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), config["max_norm"])
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_x).flatten(0, 1), val_y.flatten()).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
