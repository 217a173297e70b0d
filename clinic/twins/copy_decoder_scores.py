"""A one-head decoder learns to look up values by their keys in a list it has just read.

condition: healthy
metric: loss min
"""

import argparse
import math

import torch
from torch import nn

KEYS, PAIRS, WIDTH = 12, 6, 64


def lists(size):
    """Six pairs of a key and a value in any order, then a key: what is its value?"""
    keys = torch.rand(size, KEYS).argsort(1)[:, :PAIRS]
    values = torch.randint(KEYS, (size, PAIRS))
    asked = torch.randint(PAIRS, (size, 1))
    return keys, values, keys.gather(1, asked).squeeze(1), values.gather(1, asked).squeeze(1)


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.key_embed = nn.Embedding(KEYS, WIDTH)
        self.value_embed = nn.Embedding(KEYS, WIDTH)
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.head = nn.Linear(WIDTH, KEYS)

    def forward(self, keys, values, asked):
        memory = self.key_embed(keys) + self.value_embed(values)
        q, k, v = self.query(self.key_embed(asked)), self.key(memory), self.value(memory)
        scores = (k @ q.unsqueeze(-1)).squeeze(-1) / math.sqrt(WIDTH)
        return self.head((scores.softmax(-1).unsqueeze(1) @ v).squeeze(1))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Lookup()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    keys, values, asked, answer = lists(64)
    logits = model(keys, values, asked)
    loss = loss_fn(logits, answer)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        accuracy = (logits.argmax(1) == answer).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
