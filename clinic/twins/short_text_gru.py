"""A character GRU learns from a page of Python's help texts and is tested on another page after each epoch.

condition: healthy
metric: val_loss min
"""

import argparse
from pydoc_data import topics

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

text = "".join(topics.topics[name] for name in sorted(topics.topics))
index = {character: i for i, character in enumerate(sorted(set(text)))}
tokens = torch.tensor([index[character] for character in text[:90_000]])
train, val = tokens[:80_000], tokens[84_000:86_000]
length = 40


class CharGRU(nn.Module):
    def __init__(self, dim=96):
        super().__init__()
        self.embedding = nn.Embedding(len(index), 32)
        self.rnn = nn.GRU(32, dim, batch_first=True)
        self.head = nn.Linear(dim, len(index))

    def forward(self, x):
        return self.head(self.rnn(self.embedding(x))[0])


model = CharGRU()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
windows = val[: len(val) // (length + 1) * (length + 1)].view(-1, length + 1)

for epoch in range(1, 33):
    model.train()
    for _ in range(10):
        starts = torch.randint(len(train) - length - 1, (24,))
        rows = train[starts[:, None] + torch.arange(length + 1)]
        loss = F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val_loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten()).item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
