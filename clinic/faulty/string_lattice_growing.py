"""A soft lattice compares two strings of letters cell by cell; the strings get longer as it learns.

condition: unstable-gating
accepts: unstable-gating
allows: exploding-gradient, non-finite, divergence, learning-rate-too-high, bptt-explosion, loss-spike, saturated-units, unsafe-step, bad-batch
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Lattice(nn.Module):
    """Each cell keeps a gated sum of its left, upper and diagonal neighbour, and adds what the pair says."""

    def __init__(self, letters=6, width=16):
        super().__init__()
        self.letter = nn.Embedding(letters, width)
        self.pair = nn.Linear(2 * width, 5 * width)
        self.out = nn.Sequential(nn.Linear(width, 32), nn.Tanh(), nn.Linear(32, 1))
        self.width = width

    def forward(self, one, two):
        n, rows, columns = len(one), one.shape[1], two.shape[1]
        a = self.letter(one)[:, :, None].expand(-1, -1, columns, -1)
        b = self.letter(two)[:, None].expand(-1, rows, -1, -1)
        new, into, *gates = self.pair(torch.cat([a, b], -1)).chunk(5, -1)
        new = torch.tanh(new) * torch.sigmoid(into)
        left, up, corner = torch.sigmoid(torch.stack(gates))
        zero = new.new_zeros(n, self.width)
        above = [zero] * (columns + 1)
        for r in range(rows):
            row = [zero]
            for c in range(columns):
                kept = left[:, r, c] * row[c] + up[:, r, c] * above[c + 1] + corner[:, r, c] * above[c]
                row.append(kept + new[:, r, c])
            above = row
        return self.out(above[-1]).squeeze(1)


def pairs(n, length):
    one = torch.randint(6, (n, length))
    share = torch.rand(n, 1)
    two = torch.where(torch.rand(n, length) < share, one, torch.randint(6, (n, length)))
    return one, two, 2 * (one == two).float().mean(1) - 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Lattice()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for step in range(1, 401):
        length = 4 if step <= 200 else 11
        one, two, like = pairs(48, length)
        loss = F.mse_loss(model(one, two), like)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                one, two, like = pairs(300, length)
                print(f"step {step}  loss {loss.item():.4f}  val_loss {F.mse_loss(model(one, two), like).item():.4f}")


main()
