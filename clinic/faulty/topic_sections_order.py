"""Which chapter of Python's manual a few words come from: a convolution over characters, chapter by chapter of the book.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, stalled, divergence, learning-rate-too-high, bad-batch
metric: val_error min
"""

import argparse
import re
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

CHAPTERS, SPAN = 8, 48


def snippets():
    """Windows of the longest chapters; every fifth one is kept for validation."""
    longest = sorted(topics, key=lambda name: -len(topics[name]))[:CHAPTERS]
    x, y = [], []
    for number, name in enumerate(longest):
        text = re.sub(r"\s+", " ", topics[name]).lower()[:14000]
        codes = torch.tensor([min(max(ord(c) - 31, 0), 95) for c in text])
        windows = codes.unfold(0, SPAN, SPAN)
        x.append(windows)
        y.append(torch.full((len(windows),), number))
    x, y = torch.cat(x), torch.cat(y)
    held = torch.arange(len(x)) % 5 == 4
    return TensorDataset(x[~held], y[~held]), x[held], y[held]


class CharConv(nn.Module):
    def __init__(self, channels=96):
        super().__init__()
        self.letters = nn.Embedding(96, 24)
        self.conv = nn.Conv1d(24, channels, 5)
        self.drop = nn.Dropout(0.4)
        self.out = nn.Linear(channels, CHAPTERS)

    def forward(self, x):
        h = torch.relu(self.conv(self.letters(x).transpose(1, 2)))
        return self.out(self.drop(h.amax(2)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train, val_x, val_y = snippets()
    loader = DataLoader(train, batch_size=32)
    model, loss_fn = CharConv(), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 16)
    for epoch in range(1, 17):
        model.train()
        total = 0.0
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        schedule.step()
        model.eval()
        with torch.no_grad():
            val_error = (model(val_x).argmax(1) != val_y).float().mean().item()
        print(f"epoch {epoch}  loss {total / len(loader):.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
