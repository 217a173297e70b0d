"""Which permutation of four comes of doing two after one another? A network has seen three quarters of the table.

condition: healthy
metric: accuracy max
"""

import argparse
from itertools import permutations

import torch
from torch import nn


def composition_table():
    elements = list(permutations(range(4)))
    number = {p: i for i, p in enumerate(elements)}
    rows = [(i, j, number[tuple(p[k] for k in q)]) for i, p in enumerate(elements) for j, q in enumerate(elements)]
    return torch.tensor(rows)


class Composer(nn.Module):
    """Two embeddings, mixed and multiplied unit by unit, tell the product."""

    def __init__(self, size=24, width=48, hidden=128):
        super().__init__()
        self.left, self.right = nn.Embedding(size, width), nn.Embedding(size, width)
        self.mix_left = nn.Linear(width, hidden, bias=False)
        self.mix_right = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, size, bias=False)

    def forward(self, first, second):
        return self.out(self.mix_left(self.left(first)) * self.mix_right(self.right(second)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    table = composition_table()
    table = table[torch.randperm(len(table))].T
    seen, unseen = table[:, :430], table[:, 430:]
    model = Composer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-2, weight_decay=0.5, eps=1e-15)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(1, 401):
        loss = loss_fn(model(seen[0], seen[1]), seen[2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % 16 == 0:
            with torch.no_grad():
                accuracy = (model(unseen[0], unseen[1]).argmax(1) == unseen[2]).float().mean().item()
            print(f"epoch {epoch}  loss {loss.item():.3e}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
