"""A GRU writes on in the help pages of Python, letter by letter.

condition: always-clipping
accepts: always-clipping
allows: learning-rate-too-low, stalled
metric: val_loss min
"""

import argparse
import pydoc_data.topics

import torch
import torch.nn as nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

text = "".join(pydoc_data.topics.topics.values())[:300000]
chars = sorted(set(text))
ids = torch.tensor([chars.index(c) for c in text])
train_ids, val_ids = ids[:270000], ids[270000:]


class Writer(nn.Module):
    def __init__(self, vocabulary, width=64):
        super().__init__()
        self.table = nn.Embedding(vocabulary, 32)
        self.gru = nn.GRU(32, width, batch_first=True)
        self.out = nn.Linear(width, vocabulary)

    def forward(self, x):
        return self.out(self.gru(self.table(x))[0])


def get_batch(source, n, span=40):
    at = torch.randint(len(source) - span - 1, (n, 1)) + torch.arange(span + 1)
    return source[at[:, :-1]], source[at[:, 1:]]


model = Writer(len(chars))
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.8, momentum=0.9)
held = get_batch(val_ids, 150)
for step in range(1, 601):
    x, y = get_batch(train_ids, 32)
    loss = loss_fn(model(x).flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.02)
    optimizer.step()
    if step % 20 == 0 or step == 1:
        with torch.no_grad():
            val_loss = loss_fn(model(held[0]).flatten(0, 1), held[1].flatten()).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
