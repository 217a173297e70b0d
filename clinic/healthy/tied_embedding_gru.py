"""A character model on Python's own help texts: a GRU whose output layer shares its weight with the embedding.

condition: healthy
metric: loss min
"""

import argparse
from pydoc_data import topics

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

text = "".join(topics.topics[name] for name in sorted(topics.topics))[:120_000]
alphabet = sorted(set(text))
index = {character: i for i, character in enumerate(alphabet)}
tokens = torch.tensor([index[character] for character in text])


def get_batch(batch_size=24, length=40):
    starts = torch.randint(len(tokens) - length - 1, (batch_size,))
    rows = torch.stack([tokens[s : s + length + 1] for s in starts.tolist()])
    return rows[:, :-1], rows[:, 1:]


class TiedGRU(nn.Module):
    def __init__(self, vocabulary, dim=96):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embedding.weight, std=0.1)
        self.rnn = nn.GRU(dim, dim, batch_first=True)
        self.project = nn.Linear(dim, dim)
        self.decoder = nn.Linear(dim, vocabulary)
        self.decoder.weight = self.embedding.weight

    def forward(self, x):
        hidden, _ = self.rnn(self.embedding(x))
        return self.decoder(self.project(hidden))


model = TiedGRU(len(alphabet))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

running = None
for step in range(1, 401):
    x, y = get_batch()
    logits = model(x)
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running = loss.item() if running is None else 0.9 * running + 0.1 * loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running:.4f}")
