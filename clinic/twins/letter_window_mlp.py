"""A neural probabilistic model of letters: the next one from the eight before, on two of Python's help texts.

condition: healthy
metric: accuracy max
"""

import argparse
from pydoc_data.topics import topics

import torch
from torch import nn

CONTEXT = 8


def windows(names):
    text = "".join(topics[name] for name in names).lower()
    letters = sorted(set(text))
    codes = torch.tensor([letters.index(c) for c in text])
    cut = codes.unfold(0, CONTEXT + 1, 1)
    return cut[:, :CONTEXT], cut[:, CONTEXT], len(letters)


class LetterModel(nn.Module):
    """Letters as vectors, one hidden layer, and a direct path from the vectors to the output."""

    def __init__(self, letters, dim=16, hidden=160):
        super().__init__()
        self.letters = nn.Embedding(letters, dim)
        self.hidden = nn.Linear(CONTEXT * dim, hidden)
        self.direct = nn.Linear(CONTEXT * dim, letters, bias=False)
        self.output = nn.Linear(hidden, letters)

    def forward(self, context):
        x = self.letters(context).flatten(1)
        return self.output(torch.tanh(self.hidden(x))) + self.direct(x)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

x, y, letters = windows(["customization", "typesmapping"])
order = torch.randperm(len(x))
held, kept = order[:3000], order[3000:]
model = LetterModel(letters)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 501):
    rows = kept[torch.randint(len(kept), (128,))]
    optimizer.zero_grad()
    loss = loss_fn(model(x[rows]), y[rows])
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(x[held]).argmax(1) == y[held]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
