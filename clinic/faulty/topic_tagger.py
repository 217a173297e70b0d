"""A tagger for Python's help texts: which of some keywords does a page speak of? One sigmoid a keyword.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient
metric: f1 max
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn

TAGS = ("class", "module", "string", "iterator", "exception", "operator", "integer", "assignment")


def bags(pages, size=400):
    """Word counts of each page without the tags themselves, square-rooted and scaled to length 1; and its tags."""
    words = [re.findall(r"[a-z]{3,}", page.lower()) for page in pages]
    common = [w for w, _ in Counter(w for page in words for w in page).most_common(size + 80) if w not in TAGS][:size]
    index = {w: i for i, w in enumerate(common)}
    inputs = torch.zeros(len(pages), size)
    for row, page in enumerate(words):
        for w in page:
            if w in index:
                inputs[row, index[w]] += 1
    targets = torch.tensor([[float(tag in page) for tag in TAGS] for page in words])
    return nn.functional.normalize(inputs.sqrt()), targets


class Tagger(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.hidden = nn.Linear(inputs, 64)
        self.out = nn.Linear(64, outputs)

    def forward(self, x):
        return torch.sigmoid(self.out(torch.relu(self.hidden(x))))


def f1(scores, targets):
    guess = (scores > 0.5).float()
    return (2 * (guess * targets).sum() / (guess.sum() + targets.sum()).clamp_min(1)).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

text = "\n".join(topics[name] for name in sorted(topics))
paragraphs = [p for p in text.split("\n\n") if len(p) > 200]
inputs, targets = bags(paragraphs)
order = torch.randperm(len(inputs))
split = int(0.8 * len(order))
train, test = order[:split], order[split:]

model = Tagger(inputs.shape[1], targets.shape[1])
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
loss_fn = nn.BCEWithLogitsLoss()

for step in range(1, 401):
    batch = train[torch.randint(len(train), (64,))]
    loss = loss_fn(model(inputs[batch]), targets[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            print(f"step {step}  loss {loss.item():.4f}  f1 {f1(model(inputs[test]), targets[test]):.4f}")
