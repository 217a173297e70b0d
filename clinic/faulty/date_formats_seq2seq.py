"""Dates as people write them become dates as machines write them: a GRU reads, another one writes.

condition: detached-parameters
accepts: detached-parameters
allows: stalled, overfitting
metric: letters max
"""

import argparse
import datetime

import torch
from torch import nn

LETTERS = " ,-./0123456789abcdefghijklmnopqrstuvwxyz"
TABLE = {c: i + 2 for i, c in enumerate(LETTERS)}
START, PAD, READ, WRITE = 1, 0, 12, 8
IDS = len(LETTERS) + 2


def numbers(text, length):
    ids = [TABLE[c] for c in text.lower()]
    return ids + [PAD] * (length - len(ids))


def dates(n, generator):
    sources, targets = [], []
    for ordinal, form in zip(
        torch.randint(711000, 745000, (n,), generator=generator).tolist(),
        torch.randint(3, (n,), generator=generator).tolist(),
        strict=True,
    ):
        day = datetime.date.fromordinal(ordinal)
        sources.append(numbers(day.strftime(["%d %b %Y", "%b %d, %Y", "%d.%m.%Y"][form]), READ))
        targets.append(numbers(day.strftime("%Y%m%d"), WRITE))
    return torch.tensor(sources), torch.tensor(targets)


def repackage(hidden):
    if isinstance(hidden, tuple):
        return tuple(repackage(h) for h in hidden)
    return hidden.detach()


class Seq2Seq(nn.Module):
    def __init__(self, hidden=96, letters=IDS):
        super().__init__()
        self.embedding = nn.Embedding(letters, 32)
        self.encoder = nn.GRU(32, hidden, batch_first=True)
        self.written = nn.Embedding(letters, 32)
        self.decoder = nn.GRU(32, hidden, batch_first=True)
        self.out = nn.Linear(hidden, letters)

    def encode(self, source):
        _, hidden = self.encoder(self.embedding(source))
        return hidden

    def decode(self, previous, hidden):
        states, hidden = self.decoder(self.written(previous), hidden)
        return self.out(states), hidden

    def forward(self, source, target):
        hidden = repackage(self.encode(source))
        start = torch.full_like(target[:, :1], START)
        logits, _ = self.decode(torch.cat([start, target[:, :-1]], 1), hidden)
        return logits


def run_epoch(model, optimizer, loss_fn, source, target, generator):
    for rows in torch.randperm(len(source), generator=generator).split(64):
        loss = loss_fn(model(source[rows], target[rows]).transpose(1, 2), target[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    source, target = dates(1280, generator)
    test_source, test_target = dates(300, generator)
    model = Seq2Seq()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 17):
        loss = run_epoch(model, optimizer, loss_fn, source, target, generator)
        with torch.no_grad():
            letters = (model(test_source, test_target).argmax(-1) == test_target).float().mean().item()
        print(f"epoch {epoch}  loss {loss:.4f}  letters {letters:.4f}")


if __name__ == "__main__":
    main()
