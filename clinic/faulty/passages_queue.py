"""A recurrent letter model of the help pages; a background queue hands out the passages.

condition: stale-batch
accepts: stale-batch, overfitting
allows: overfitting, divergence
metric: val_loss min
"""

import argparse
from collections import deque
from pydoc_data.topics import topics

import torch
from torch import nn

LENGTH = 24


class PassageQueue:
    """Keeps a few batches ready; refills itself when it runs low."""

    def __init__(self, codes, size, passes):
        self.codes, self.size = codes, size
        starts = torch.arange(0, len(codes) - LENGTH - 1, LENGTH)
        starts = torch.cat([starts[torch.randperm(len(starts))] for _ in range(passes)])
        self.pending = deque(starts.split(size)[:-1])
        self.ready = deque()
        self.last = None

    def refill(self, depth=4):
        while self.pending and len(self.ready) < depth:
            at = self.pending.popleft()
            self.ready.append(self.codes[at[:, None] + torch.arange(LENGTH + 1)])

    def get(self):
        self.refill()
        if self.ready:
            self.last = self.ready.popleft()
        return self.last[:, :-1], self.last[:, 1:]


class LetterGRU(nn.Module):
    def __init__(self, letters=64, width=96):
        super().__init__()
        self.embed = nn.Embedding(letters, 24)
        self.gru = nn.GRU(24, width, batch_first=True)
        self.head = nn.Linear(width, letters)

    def forward(self, codes):
        return self.head(self.gru(self.embed(codes))[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    text = "".join(topics[k] for k in sorted(topics)).lower()[:200_000]
    codes = torch.tensor([ord(c) % 64 for c in text])
    train, val = codes[:170_000], codes[170_000:]
    queue = PassageQueue(train, 32, passes=1)
    val_at = torch.randint(len(val) - LENGTH - 1, (200,))
    val_rows = val[val_at[:, None] + torch.arange(LENGTH + 1)]
    model = LetterGRU()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 500)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, 501):
        x, y = queue.get()
        loss = loss_fn(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_rows[:, :-1]).flatten(0, 1), val_rows[:, 1:].flatten()).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
