"""A transformer encoder over words learns from a few passages which help topic they are from; it is tested as it goes.

condition: overfitting
accepts: overfitting
allows: naive-loss-minimisation
metric: val_loss min
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

NAMES = ("specialnames", "formatstrings", "string-methods", "types", "compound", "typesseq")
WORDS, VOCABULARY = 20, 600


def passages(generator):
    """Passages of WORDS hashed words each, in random order, with the number of their topic."""
    rows, labels = [], []
    for number, name in enumerate(NAMES):
        words = topics[name].split()
        for start in range(0, min(len(words), 60 * WORDS) - WORDS, WORDS):
            piece = words[start : start + WORDS]
            rows.append([sum(ord(c) * 31**i for i, c in enumerate(word)) % VOCABULARY for word in piece])
            labels.append(number)
    order = torch.randperm(len(rows), generator=generator)
    return torch.tensor(rows)[order], torch.tensor(labels)[order]


class Encoder(nn.Module):
    def __init__(self, dim=48, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, dim)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, dropout=dropout, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, len(NAMES))

    def forward(self, tokens):
        return self.head(self.dropout(self.layers(self.dropout(self.embedding(tokens))).mean(1)))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
generator = torch.Generator().manual_seed(args.seed)
tokens, labels = passages(generator)
tokens_val, labels_val = tokens[200:], labels[200:]
tokens, labels = tokens[:200], labels[:200]

model = Encoder()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
loss_fn = nn.CrossEntropyLoss()

step = 0
for _ in range(45):
    for rows in torch.randperm(200, generator=generator).split(25):
        step += 1
        loss = loss_fn(model(tokens[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = loss_fn(model(tokens_val), labels_val).item()
            model.train()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
