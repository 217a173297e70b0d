"""Ratings of a book club: a table of factors for readers and books; new readers join when the club opens a second branch.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: stalled, overfitting, detached-parameters
metric: val_rmse min
"""

import argparse

import torch
from torch import nn


class Ratings(nn.Module):
    def __init__(self, readers, books, dim=6):
        super().__init__()
        self.readers, self.books = nn.Embedding(readers, dim), nn.Embedding(books, dim)
        self.taste, self.fame = nn.Embedding(readers, 1), nn.Embedding(books, 1)
        for table in (self.readers, self.books, self.taste, self.fame):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, reader, book):
        match = (self.readers(reader) * self.books(book)).sum(-1)
        return match + self.taste(reader).squeeze(-1) + self.fame(book).squeeze(-1)

    def admit(self, readers):
        """Make room for more readers; those who are there keep their rows."""
        for name in ("readers", "taste"):
            old = getattr(self, name).weight.data
            new = nn.Embedding(readers, old.shape[1])
            nn.init.normal_(new.weight, std=0.1)
            new.weight.data[: len(old)] = old
            setattr(self, name, new)


class Club:
    def __init__(self, readers=160, books=80, dim=4):
        self.r, self.b = torch.randn(readers, dim), torch.randn(books, dim)
        self.bias = 0.7 * torch.randn(readers)

    def rate(self, n, readers):
        reader, book = torch.randint(readers, (n,)), torch.randint(len(self.b), (n,))
        rating = (self.r[reader] * self.b[book]).sum(1) / 2 + self.bias[reader]
        return reader, book, rating + 0.3 * torch.randn(n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    club = Club()
    model = Ratings(90, 80)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    readers = 90
    for step in range(1, 1001):
        if step == 401:
            readers = 160
            model.admit(readers)
            for group in optimizer.param_groups:
                group["lr"] = 0.01
        reader, book, rating = club.rate(128, readers)
        loss = (model(reader, book) - rating).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                reader, book, rating = club.rate(4000, readers)
                rmse = (model(reader, book) - rating).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
