"""Passages of Python's help texts and the topic each belongs to, read from front to back; embedding bags, Adagrad.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data import topics

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

names = sorted(topics.topics, key=lambda name: -len(topics.topics[name]))[:5]
passages, labels = [], []
for label, name in enumerate(names):
    codes = torch.tensor([min(ord(c), 127) for c in topics.topics[name][:24_000]])
    pairs = codes[:-1] * 128 + codes[1:]
    chunks = pairs.split(120)[:-1]
    passages += chunks
    labels += [label] * len(chunks)
x, y = torch.stack(passages), torch.tensor(labels)
held_out = torch.rand(len(x)) < 0.2
x_val, y_val = x[held_out], y[held_out]
x_train, y_train = x[~held_out], y[~held_out]


class BagOfPairs(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.bag = nn.EmbeddingBag(128 * 128, dim, mode="mean")
        self.head = nn.Sequential(nn.Linear(dim, 32), nn.ReLU(), nn.Linear(32, len(names)))

    def forward(self, x):
        return self.head(self.bag(x))


model = BagOfPairs()
optimizer = torch.optim.Adagrad(model.parameters(), lr=0.05)
loss_fn = nn.CrossEntropyLoss()

step = 0
for _ in range(10):
    order = torch.randperm(len(x_train))
    for batch in order.split(32):
        loss = loss_fn(model(x_train[batch]), y_train[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 8 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(x_val), y_val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
