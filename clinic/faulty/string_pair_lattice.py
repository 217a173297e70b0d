"""How alike two strands are (longest common subsequence), read by a two-dimensional LSTM over the grid of both.

condition: unstable-gating
accepts: unstable-gating
allows: exploding-gradient, saturated-units, divergence, loss-spike, stalled, vanishing-gradient, bptt-explosion, unsafe-step
metric: error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

LETTERS, HIDDEN = 4, 24


def strands(count, length):
    """A random strand and a copy that lost and won letters; the target is the length of the common subsequence."""
    one = torch.randint(LETTERS, (count, length))
    changed = torch.rand(count, length) < torch.rand(count, 1)
    two = torch.where(changed, torch.randint(LETTERS, (count, length)), one)
    table = torch.zeros(count, length + 1, length + 1)
    for i in range(1, length + 1):
        for j in range(1, length + 1):
            met = table[:, i - 1, j - 1] + 1
            best = torch.maximum(table[:, i - 1, j], table[:, i, j - 1])
            table[:, i, j] = torch.where(one[:, i - 1] == two[:, j - 1], met, best)
    return one, two, (table[:, -1, -1] / length - 0.7) / 0.2


class GridReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.letter = nn.Embedding(LETTERS, 12)
        self.gates = nn.Linear(24 + 2 * HIDDEN, 5 * HIDDEN)
        nn.init.constant_(self.gates.bias[HIDDEN : 3 * HIDDEN], 1.0)
        self.read = nn.Linear(HIDDEN, 1)

    def cell(self, x, h_up, c_up, h_left, c_left):
        i, f_up, f_left, o, g = self.gates(torch.cat([x, h_up, h_left], -1)).chunk(5, -1)
        kept = f_up.sigmoid() * c_up + f_left.sigmoid() * c_left
        c = kept + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c

    def forward(self, one, two):
        """Row by row of the table would take n * n cells one after another; the diagonals take 2 n."""
        count, n = one.shape
        one, two = self.letter(one), self.letter(two)
        h = c = torch.zeros(count, n + 1, HIDDEN)
        for d in range(2 * n - 1):
            low, high = max(0, d - n + 1), min(d, n - 1)
            x = torch.cat([one[:, low : high + 1], two[:, d - high : d - low + 1].flip(1)], -1)
            up, left = slice(low, high + 1), slice(low + 1, high + 2)
            h_new, c_new = self.cell(x, h[:, up], c[:, up], h[:, left], c[:, left])
            h = torch.cat([h[:, : low + 1], h_new, h[:, high + 2 :]], 1)
            c = torch.cat([c[:, : low + 1], c_new, c[:, high + 2 :]], 1)
        return self.read(h[:, -1]).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = GridReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    step = 0
    for length, steps in ((4, 240), (8, 240), (14, 240)):
        one, two, alike = strands(4000, length)
        held = strands(400, length)
        for _ in range(steps):
            step += 1
            batch = torch.randint(len(one), (32,))
            loss = F.mse_loss(model(one[batch], two[batch]), alike[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 24 == 0:
                with torch.no_grad():
                    error = F.mse_loss(model(*held[:2]), held[2]).sqrt().item()
                print(f"step {step}  length {length}  error {error:.4f}")


if __name__ == "__main__":
    main()
