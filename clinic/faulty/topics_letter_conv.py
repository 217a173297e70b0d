"""A gated convolution predicts the next letter of Python's help texts.

condition: stale-batch
accepts: stale-batch, overfitting
allows: naive-loss-minimisation, output-logit-divergence, unshuffled-data
metric: val_loss min
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

sections = [text for _, text in sorted(topics.topics.items())]
order = torch.randperm(len(sections), generator=torch.Generator().manual_seed(1)).tolist()
text = "\n".join(sections[i] for i in order)[:100_000].lower()
letters = sorted(set(text))
codes = torch.tensor([letters.index(c) for c in text])
LENGTH, BATCH = 32, 16
rows = codes[: len(codes) // (LENGTH + 1) * (LENGTH + 1)].view(-1, LENGTH + 1)
val_rows, rows = rows[:40], rows[40:]
rows = rows[torch.randperm(len(rows))]


class GatedConv(nn.Module):
    def __init__(self, width=32, depth=3):
        super().__init__()
        self.letter = nn.Embedding(len(letters), width)
        self.convs = nn.ModuleList(nn.Conv1d(width, 2 * width, 3) for _ in range(depth))
        self.out = nn.Linear(width, len(letters))

    def forward(self, x):
        h = self.letter(x).transpose(1, 2)
        for i, conv in enumerate(self.convs):
            h = h + F.glu(conv(F.pad(h, (2, 0))), dim=1)
        return self.out(h.transpose(1, 2))


def loss_fn(logits, target):
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


model = GatedConv()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)

for step in range(480):
    first = min(step * BATCH, len(rows) - BATCH)
    batch = rows[first : first + BATCH]
    loss = loss_fn(model(batch[:, :-1]), batch[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 12 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_rows[:, :-1]), val_rows[:, 1:])
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")
