"""A GRU reads sixteen words of Python's help texts and tells which of four topics they are from.

condition: stalled
accepts: stalled
metric: val_loss min
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn

TOPICS = ("debugger", "typesseq", "formatstrings", "compound")
LENGTH = 16


class Vocabulary:
    """Word to index; 0 is for words that were not common enough."""

    def __init__(self, words, size):
        counts = Counter(words)
        self.index = {word: i for i, word in enumerate(counts.most_common(size), start=1)}

    def __len__(self):
        return len(self.index) + 1

    def encode(self, words):
        return torch.tensor([self.index.get(word, 0) for word in words])


class Reader(nn.Module):
    def __init__(self, vocabulary, dim=24, hidden=32):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.gru = nn.GRU(dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, len(TOPICS))

    def forward(self, tokens):
        return self.head(self.gru(self.embedding(tokens))[0].amax(1))


def windows(tokens):
    """All windows of a text for training, and those of every fifth stretch of ninety words for validation."""
    pieces = tokens.split(90)
    train = [piece.unfold(0, LENGTH, 1) for i, piece in enumerate(pieces[:-1]) if i % 5 < 4]
    val = [piece.unfold(0, LENGTH, 5) for i, piece in enumerate(pieces[:-1]) if i % 5 == 4]
    return torch.cat(train), torch.cat(val)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed + 1)

    texts = [re.findall(r"[a-z_]+", topics[name].lower()) for name in TOPICS]
    vocabulary = Vocabulary([word for text in texts for word in text], size=400)
    train, held = zip(*(windows(vocabulary.encode(text)) for text in texts), strict=True)
    val = torch.cat([rows[torch.randperm(len(rows), generator=generator)[:60]] for rows in held])
    labels = torch.arange(len(TOPICS))
    val_labels = labels.repeat_interleave(torch.tensor([min(60, len(rows)) for rows in held]))

    model = Reader(len(vocabulary))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 241):
        batch = torch.cat([rows[torch.randint(len(rows), (8,), generator=generator)] for rows in train])
        loss = loss_fn(model(batch), labels.repeat_interleave(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val), val_labels).item()
            print(f"step {step}  train {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
