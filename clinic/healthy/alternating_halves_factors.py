"""Ratings as products of two tables of vectors that take turns: ten steps for the readers, ten for the books.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

READERS, BOOKS, RANK = 150, 120, 6


class Taste(nn.Module):
    def __init__(self):
        super().__init__()
        self.readers = nn.ModuleDict({"vector": nn.Embedding(READERS, RANK), "mood": nn.Embedding(READERS, 1)})
        self.books = nn.ModuleDict({"vector": nn.Embedding(BOOKS, RANK), "fame": nn.Embedding(BOOKS, 1)})
        for table in self.modules():
            if isinstance(table, nn.Embedding):
                nn.init.normal_(table.weight, std=0.3)

    def forward(self, reader, book):
        match = (self.readers["vector"](reader) * self.books["vector"](book)).sum(-1)
        return match + (self.readers["mood"](reader) + self.books["fame"](book)).squeeze(-1)


def ratings(count):
    p, q = torch.randn(READERS, 3), torch.randn(BOOKS, 3)
    reader, book = torch.randint(READERS, (count,)), torch.randint(BOOKS, (count,))
    score = (p[reader] * q[book]).sum(1) / 1.7 + 0.3 * torch.randn(BOOKS)[book]
    return reader, book, score + 0.2 * torch.randn(count)


def turn(model, optimizer, table, steps):
    """Some steps for one of the two tables; the other one rests."""
    reader, book, score = table
    for _ in range(steps):
        pick = torch.randint(len(score), (512,))
        loss = (model(reader[pick], book[pick]) - score[pick]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    everything = ratings(9000)
    train, test = ([column[part] for column in everything] for part in (slice(0, 8000), slice(8000, None)))
    model = Taste()
    reader_optimizer = torch.optim.Adam(model.readers.parameters(), lr=0.02)
    book_optimizer = torch.optim.Adam(model.books.parameters(), lr=0.02)
    for round_ in range(1, 25):
        turn(model, reader_optimizer, train, 10)
        loss = turn(model, book_optimizer, train, 10)
        with torch.no_grad():
            rmse = (model(test[0], test[1]) - test[2]).pow(2).mean().sqrt().item()
        print(f"round {round_}  loss {loss:.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
