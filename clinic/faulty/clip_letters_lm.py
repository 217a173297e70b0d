"""The next letter of Python's own help pages, with an LSTM and plain gradient descent as in the old recipes.

condition: always-clipping
accepts: always-clipping
allows: learning-rate-too-low, stalled
metric: val_bits min
"""

import argparse
import math
from pydoc_data.topics import topics

import torch
from torch import nn

text = "\n".join(topics[k] for k in sorted(topics))[:120000].lower()
letters = sorted(set(text))
code = torch.tensor([letters.index(c) for c in text])
train, val = code[:110000], code[110000:]
BATCH, SPAN = 24, 24


class LetterLSTM(nn.Module):
    def __init__(self, n, size=64):
        super().__init__()
        self.embed = nn.Embedding(n, size)
        self.lstm = nn.LSTM(size, size, batch_first=True)
        self.decode = nn.Linear(size, n)

    def forward(self, x, state=None):
        h, state = self.lstm(self.embed(x), state)
        return self.decode(h), state


def batchify(data, rows):
    return data[: len(data) // rows * rows].view(rows, -1)


def evaluate(model, data, loss_fn):
    rows = batchify(data[:4800], 16)
    with torch.no_grad():
        return loss_fn(model(rows[:, :-1])[0].flatten(0, 1), rows[:, 1:].flatten()).item() / math.log(2)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=3.0)
    parser.add_argument("--clip", type=float, default=0.02)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model, loss_fn = LetterLSTM(len(letters)), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    stream, place, state = batchify(train, BATCH), 0, None
    for step in range(1, 501):
        if place + SPAN + 1 >= stream.shape[1]:
            place, state = 0, None
        x, y = stream[:, place : place + SPAN], stream[:, place + 1 : place + SPAN + 1]
        place += SPAN
        output, state = model(x, state)
        state = tuple(s.detach() for s in state)
        loss = loss_fn(output.flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        optimizer.step()
        if step % 25 == 0:
            print(f"step {step}  loss {loss.item():.4f}  val_bits {evaluate(model, val, loss_fn):.4f}")
