"""A small character model reads Python's help pages; first lower-case letters only, then the whole alphabet.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, loss-spike
metric: val_loss min
"""

import argparse
from collections import Counter
from pydoc_data.topics import topics

import torch
import torch.nn.functional as F
from torch import nn

CONTEXT = 6


class Speller(nn.Module):
    def __init__(self, vocabulary, width=24, hidden=128):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.body = nn.Sequential(nn.Linear(CONTEXT * width, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, window):
        return self.head(self.body(self.embed(window).flatten(1)))

    @torch.no_grad()
    def resize(self, vocabulary):
        embed, head = nn.Embedding(vocabulary, self.embed.embedding_dim), nn.Linear(self.head.in_features, vocabulary)
        old = self.embed.num_embeddings
        embed.weight[:old] = self.embed.weight
        head.weight[:old], head.bias[:old] = self.head.weight, self.head.bias
        self.embed, self.head = embed, head


def encode(text, alphabet):
    place = {c: i + 1 for i, c in enumerate(alphabet)}
    return torch.tensor([place.get(c, 0) for c in text])


def windows(codes, count):
    start = torch.randint(len(codes) - CONTEXT - 1, (count,))
    piece = codes[start[:, None] + torch.arange(CONTEXT + 1)]
    return piece[:, :-1], piece[:, -1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    text = "".join(topics[k] for k in sorted(topics))[:250_000]
    small = "".join(chr(c) for c in range(97, 123)) + " \n"
    large = small + "".join(c for c, _ in Counter(text).most_common() if c not in small)
    cut = 220_000
    codes, held_out = encode(text[:cut].lower(), small), encode(text[cut:].lower(), small)
    model = Speller(len(small) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    for step in range(1, 801):
        if step == 280:
            model.resize(len(large) + 1)
            codes, held_out = encode(text[:cut], large), encode(text[cut:], large)
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (820 - step) / 400)
        x, y = windows(codes, 96)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                x, y = windows(held_out, 2000)
                val_loss = F.cross_entropy(model(x), y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
