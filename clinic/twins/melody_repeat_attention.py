"""A causal transformer repeats a random tune of eight notes for ever; queries and keys are not divided by anything.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

NOTES, PERIOD, LENGTH, WIDTH, HEADS = 12, 6, 18, 64, 2


class CausalBlock(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.norm_a, self.norm_f = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.feed = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))
        self.register_buffer("future", torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1))

    def forward(self, x):
        a = self.norm_a(x)
        q, k, v = (f(a).unflatten(-1, (HEADS, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        logits = torch.einsum("bhid,bhjd->bhij", q, k) * self.scale
        attention = logits.masked_fill(self.future, float("-inf")).softmax(-1)
        x = x + self.o(torch.einsum("bhij,bhjd->bhid", attention, v).transpose(1, 2).flatten(2))
        return x + self.feed(self.norm_f(x))


class Repeater(nn.Module):
    def __init__(self, layers=2, scale=(WIDTH // HEADS) ** -0.5):
        super().__init__()
        self.note, self.place = nn.Embedding(NOTES, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.ModuleList(CausalBlock(scale) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, NOTES)

    def forward(self, tune):
        x = self.note(tune) + self.place.weight
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


def tunes(count):
    return torch.randint(NOTES, (count, PERIOD)).repeat(1, LENGTH // PERIOD + 1)[:, : LENGTH + 1]


def next_note_loss(model, tune):
    logits = model(tune[:, :-1])[:, PERIOD - 1 :]
    return F.cross_entropy(logits.flatten(0, 1), tune[:, PERIOD:].flatten())


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Repeater()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, betas=(0.9, 0.95))
val = tunes(128)
for step in range(1, 241):
    loss = next_note_loss(model, tunes(16))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            print(f"step {step}  loss {loss.item():.4f}  val_loss {next_note_loss(model, val).item():.4f}")
