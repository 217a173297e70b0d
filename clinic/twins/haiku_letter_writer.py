"""A letter-level GRU learns to write help pages in short lines.

condition: healthy
metric: valid min
"""

import argparse
import re
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--letters", type=int, default=300000)
args = parser.parse_args()
torch.manual_seed(args.seed)

SPAN, BATCH, STEPS = 24, 32, 440
text = " ".join(topics[key] for key in sorted(topics)).lower()
text = re.sub(r"[^a-z.,()'\n ]", "", text)
text = re.sub(r"\s+", " ", text)
alphabet = sorted(set(text))
letters = torch.tensor([alphabet.index(c) for c in text])
train, valid = letters[: args.letters], letters[-12000:]
print(f"{len(train)} letters to learn from, {len(valid)} to check with, {len(alphabet)} kinds")


class Writer(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.letter = nn.Embedding(len(alphabet), 32)
        self.gru = nn.GRU(32, width, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(width, len(alphabet))

    def forward(self, x, state=None):
        h, state = self.gru(self.letter(x), state)
        return self.head(self.drop(h)), state


model = Writer()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)


def loss_fn(lines):
    logits, _ = model(lines[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), lines[:, 1:].flatten())


check = valid.unfold(0, SPAN + 1, 131)
for step in range(STEPS):
    start = torch.randint(len(train) - SPAN, (BATCH, 1))
    loss = loss_fn(train[start + torch.arange(SPAN + 1)])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 2.0)
    optimizer.step()
    if step % 20 == 0:
        model.eval()
        with torch.no_grad():
            held = loss_fn(check)
        model.train()
        print(f"step {step}  loss {loss.item():.4f}  valid {held.item():.4f}")

model.eval()
line, state = [alphabet.index("t")], None
with torch.no_grad():
    for _ in range(60):
        logits, state = model(torch.tensor([[line[-1]]]), state)
        line.append(torch.multinomial((logits[0, -1] / 0.7).softmax(0), 1).item())
print("".join(alphabet[i] for i in line))
