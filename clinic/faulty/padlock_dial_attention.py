"""Padlocks: a query attends to a set of dials and reports the number on the dial that it names.

condition: attention-logit-growth
accepts: attention-logit-growth, off-critical-initialisation, softmax-collapse
allows: softmax-collapse, off-critical-initialisation, learning-rate-too-high, unsafe-step, loss-spike, stalled,
  divergence, vanishing-gradient, exploding-gradient
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class DialReader(nn.Module):
    def __init__(self, marks, numbers, width=32, heads=4):
        super().__init__()
        self.mark, self.number = nn.Embedding(marks, width), nn.Embedding(numbers, width)
        self.q, self.k = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.v, self.out = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.normal_(self.q.weight, std=2.0), nn.init.normal_(self.k.weight, std=2.0)
        self.heat = nn.Parameter(torch.full((heads, 1, 1), 0.35))
        self.heads = heads
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 64), nn.GELU(), nn.Linear(64, numbers))

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, query, marks, numbers):
        dials = self.mark(marks) + self.number(numbers)
        q, k, v = self.split(self.q(self.mark(query)[:, None])), self.split(self.k(dials)), self.split(self.v(dials))
        weights = (self.heat * q @ k.transpose(2, 3)).softmax(-1)
        return self.read(self.out((weights @ v).transpose(1, 2).flatten(2)).squeeze(1))


def locks(count, marks=24, numbers=10, dials=8):
    names = torch.rand(count, marks).argsort(1)[:, :dials]
    shown = torch.randint(numbers, (count, dials))
    pick = torch.randint(dials, (count, 1))
    return names.gather(1, pick).squeeze(1), names, shown, shown.gather(1, pick).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = DialReader(24, 10)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / 100))
loss_fn = nn.CrossEntropyLoss()
val = locks(1000)

for step in range(1, 481):
    query, marks, shown, answer = locks(64)
    loss = loss_fn(model(query, marks, shown), answer)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    warmup.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(*val[:3]), val[3]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
