"""Copper in ore from five sensors on the belt: a network of the first mine goes on with the second mine's books.

condition: healthy
metric: val_rmse min
"""

import argparse
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore")


def ore(rng, count, depth):
    x = rng.normal(size=(count, 5))
    copper = np.tanh(1.5 * x[:, 0] + depth) + 0.7 * x[:, 1] * x[:, 2] - 0.4 * depth * x[:, 3] ** 2 + 0.5 * x[:, 4]
    return x, copper + 0.2 * rng.normal(size=count)


def first_mine(rng, count):
    x, copper = ore(rng, count, 0.2)
    return torch.tensor(x).float(), torch.tensor(copper).float()


def second_mine(rng, count):
    x, copper = ore(rng, count, 0.9)
    book = np.column_stack([x, copper]).astype(np.float32)
    return torch.from_numpy(book[:, :5]), torch.from_numpy(book[:, 5])


class Assay(nn.Module):
    def __init__(self, width=80):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, width), nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, x):
        h = F.silu(self.a(x))
        return self.c(h + F.silu(self.b(h))).squeeze(-1)


def main(args):
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    model, loss_fn = Assay(), nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-3)
    books = first_mine(rng, 3000)
    held = [first_mine(rng, 1500), first_mine(rng, 1500)]
    x, copper = ore(rng, 1500, 0.9)
    held[1] = torch.tensor(x).float(), torch.tensor(copper).float()
    for epoch in range(1, 23):
        if epoch == 9:
            books = second_mine(rng, 3000)
        order = torch.randperm(len(books[0]))
        for start in range(0, len(order), 75):
            rows = order[start : start + 75]
            loss = loss_fn(model(books[0][rows]), books[1][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        x_val, copper_val = held[int(epoch >= 9)]
        with torch.no_grad():
            val_rmse = F.mse_loss(model(x_val), copper_val).sqrt().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args())
