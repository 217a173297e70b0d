"""A character LSTM tells inflected words from plain ones; each batch holds words of about one length.

condition: healthy
metric: val_loss min
"""

import argparse
import random
import re
from pydoc_data.topics import topics

import torch
from torch import nn


def vocabulary():
    """Words of Python's help texts, and whether each is one with an ending put on."""
    words = sorted(set(re.findall(r"\b[a-z]{3,12}\b", " ".join(topics.values()))))
    return [(word, int(word.endswith(("ed", "ing", "s", "ly")))) for word in words]


class BucketSampler:
    """Batches of words of about one length, to pad little; new batches in a new order each time."""

    def __init__(self, rows, size, rng):
        self.rows, self.size, self.rng = rows, size, rng

    def __iter__(self):
        rows = sorted(self.rows, key=lambda row: (len(row[0]), self.rng.random()))
        batches = [rows[i : i + self.size] for i in range(0, len(rows), self.size)]
        self.rng.shuffle(batches)
        yield from batches


def collate(rows):
    length = max(len(word) for word, _ in rows)
    tokens = torch.zeros(len(rows), length, dtype=torch.long)
    for i, (word, _) in enumerate(rows):
        tokens[i, : len(word)] = torch.tensor([ord(c) - 96 for c in word])
    return tokens, torch.tensor([float(label) for _, label in rows])


class Speller(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(27, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, tokens):
        h, _ = self.lstm(self.embedding(tokens))
        last = (tokens > 0).sum(1) - 1
        return self.head(h[torch.arange(len(h)), last]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = random.Random(seed)
    rows = vocabulary()
    rng.shuffle(rows)
    val_tokens, val_labels = collate(rows[:400])
    train = BucketSampler(rows[400:], 48, rng)

    model = Speller()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.BCEWithLogitsLoss()
    step = 0
    while step < 300:
        for batch in train:
            tokens, labels = collate(batch)
            loss = loss_fn(model(tokens), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 15 == 0:
                with torch.no_grad():
                    val_loss = loss_fn(model(val_tokens), val_labels).item()
                print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
