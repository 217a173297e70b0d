"""Does a syllable carry the accent? A small transformer over made-up words, in bfloat16 to halve its memory.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: learning-rate-too-low, stalled
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SYLLABLES, LENGTH, WIDTH = 24, 10, 48


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_a, self.norm_f = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        q, k, v = self.qkv(self.norm_a(x)).chunk(3, -1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v))
        return x + self.down(F.gelu(self.up(self.norm_f(x))))


class AccentTagger(nn.Module):
    def __init__(self, layers=2):
        super().__init__()
        self.syllable = nn.Embedding(SYLLABLES, WIDTH)
        self.place = nn.Embedding(LENGTH, WIDTH)
        self.layers = nn.Sequential(*(Layer() for _ in range(layers)))
        self.head = nn.Linear(WIDTH, 1)

    def forward(self, words):
        x = self.syllable(words) + self.place.weight
        return self.head(self.layers(x)).squeeze(-1)


def words(count):
    word = torch.randint(SYLLABLES, (count, LENGTH))
    heavy = word % 3 == 0
    before = F.pad(word, (1, 0))[:, :-1]
    return word, (heavy & (before % 2 == 0)).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = AccentTagger().to(torch.bfloat16)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.0)
    loss_fn = nn.BCEWithLogitsLoss()
    val_word, val_accent = words(256)
    for step in range(1, 421):
        word, accent = words(32)
        loss = loss_fn(model(word).float(), accent)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 21 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_word).float(), val_accent).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


main()
