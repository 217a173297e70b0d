"""Which help topic are these twenty words from? A wide network on a bag of words, kept in bfloat16.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: learning-rate-too-low, stalled, epsilon-dominated-update
metric: accuracy max
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn

NAMES = ["assignment", "bltin-type-objects", "formatstrings", "customization", "debugger", "imports", "string-methods"]


def windows(length=20, vocabulary=512):
    texts = [re.findall(r"[a-z]+", topics[name].lower()) for name in NAMES if name in topics]
    common = Counter(word for text in texts for word in set(text) if len(word) > 2)
    for text in texts:
        common.update(text)
    index = {word: i for i, (word, _) in enumerate(common.most_common(vocabulary))}
    rows, labels = [], []
    for label, text in enumerate(texts):
        for start in range(0, len(text) - length, 7):
            row = torch.zeros(vocabulary)
            for word in text[start : start + length]:
                if word in index:
                    row[index[word]] += 1
            rows.append(row)
            labels.append(label)
    return torch.stack(rows), torch.tensor(labels)


class Reader(nn.Module):
    def __init__(self, words, classes, width=1024):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(words, width), nn.Linear(width, 256), nn.Linear(256, classes)])
        self.norm = nn.LayerNorm(width)

    def forward(self, bag):
        h = torch.relu(self.norm(self.layers[0](bag)))
        return self.layers[2](torch.relu(self.layers[1](h)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    bags, labels = windows()
    order = torch.randperm(len(bags))
    train, test = order[: len(order) * 3 // 4], order[len(order) * 3 // 4 :]
    model = Reader(bags.shape[1], int(labels.max()) + 1).bfloat16()
    bags = bags.bfloat16()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 301):
        rows = train[torch.randint(len(train), (64,))]
        loss = loss_fn(model(bags[rows]).float(), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                accuracy = (model(bags[test]).argmax(1) == labels[test]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
