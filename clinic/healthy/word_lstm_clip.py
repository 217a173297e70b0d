"""A word-level LSTM on Python's help texts: plain SGD with a high rate, every gradient clipped to a quarter.

condition: healthy
infos: always-clipping
metric: loss min
"""

import argparse
import re
from collections import Counter
from pydoc_data.topics import topics

import torch
from torch import nn

BPTT, STREAMS, VOCAB = 16, 16, 300


class WordLSTM(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, width)
        self.lstm = nn.LSTM(width, width)
        self.head = nn.Linear(width, VOCAB)
        self.head.weight = self.embed.weight
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)

    def forward(self, tokens, state):
        out, state = self.lstm(self.embed(tokens), state)
        return self.head(out), state


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

words = re.findall(r"[a-z]+|[.,()]", " ".join(topics[name] for name in sorted(topics)).lower())[:40_000]
index = {word: i for i, (word, _) in enumerate(Counter(words).most_common(VOCAB - 1), start=1)}
tokens = torch.tensor([index.get(word, 0) for word in words])
streams = tokens[: len(tokens) // STREAMS * STREAMS].view(STREAMS, -1).T

model = WordLSTM()
optimizer = torch.optim.SGD(model.parameters(), lr=5.0)
loss_fn = nn.CrossEntropyLoss()
state = None
average = None

for step in range(1, 401):
    at = (step - 1) * BPTT % (len(streams) - BPTT - 1)
    x, y = streams[at : at + BPTT], streams[at + 1 : at + BPTT + 1]
    logits, state = model(x, state)
    state = tuple(s.detach() for s in state)
    loss = loss_fn(logits.flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    optimizer.step()
    average = loss.item() if average is None else 0.9 * average + 0.1 * loss.item()
    if step % 20 == 0:
        print(f"step {step}  loss {average:.4f}")
