"""A transformer encoder tells which of eight marked tokens was marked first; the rate changes at two milestones.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SYMBOLS, LENGTH = 8, 12


def sequences(count):
    """Symbols with a mark here and there; the answer is the symbol at the first mark."""
    symbols = torch.randint(SYMBOLS, (count, LENGTH))
    marks = (torch.rand(count, LENGTH) < 0.25).long()
    marks[torch.arange(count), torch.randint(LENGTH, (count,))] = 1
    return symbols + SYMBOLS * marks, symbols[torch.arange(count), marks.argmax(1)]


class FirstMark(nn.Module):
    def __init__(self, dim=32):
        super().__init__()
        self.embedding = nn.Embedding(2 * SYMBOLS, dim)
        self.position = nn.Parameter(0.1 * torch.randn(LENGTH, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, SYMBOLS)

    def forward(self, tokens):
        return self.head(self.encoder(self.embedding(tokens) + self.position).mean(1))


model = FirstMark()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[240, 320], gamma=0.1)
loss_fn = nn.CrossEntropyLoss()
val_tokens, val_answers = sequences(300)

for step in range(1, 401):
    tokens, answers = sequences(40)
    loss = loss_fn(model(tokens), answers)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    if step % 16 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_tokens), val_answers).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
