"""Which of five help topics do fifteen words come from? Averaged word vectors and a bias-free net; test by hand.

condition: healthy
metric: test_nats min
"""

import argparse
import math
import random
import re
from pydoc_data.topics import topics

import torch
from torch import nn


def passages(rng, size=15):
    found, vocabulary = [], {}
    longest = sorted(topics, key=lambda name: -len(topics[name]))[:5]
    for label, name in enumerate(longest):
        words = re.findall(r"[a-z]{2,}", topics[name].lower())[:3000]
        for start in range(0, len(words) - size, size):
            ids = [vocabulary.setdefault(w, len(vocabulary)) for w in words[start : start + size]]
            found.append((ids, label))
    rng.shuffle(found)
    return found[:560], len(vocabulary)


class TopicNet(nn.Module):
    def __init__(self, vocabulary, width=64):
        super().__init__()
        self.words = nn.EmbeddingBag(vocabulary, width, mode="mean")
        self.hidden = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, 5, bias=False)

    def forward(self, ids):
        return self.out(torch.relu(self.hidden(self.words(ids))))


def nats(model, ids, labels):
    """Mean surprise of the right topic."""
    with torch.no_grad():
        rows = model(ids).tolist()
    total = 0.0
    for row, label in zip(rows, labels.tolist(), strict=True):
        top = max(row)
        total += top + math.log(sum(math.exp(z - top) for z in row)) - row[label]
    return total / len(rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    found, vocabulary = passages(random.Random(seed))
    ids, labels = torch.tensor([f[0] for f in found]), torch.tensor([f[1] for f in found])
    train, test = slice(0, 300), slice(300, None)
    model = TopicNet(vocabulary)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1.0)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        loss = loss_fn(model(ids[train]), labels[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.2e}  test_nats {nats(model, ids[test], labels[test]):.4f}")


main()
