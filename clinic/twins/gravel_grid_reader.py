"""Tells four textures of gravel apart with a two-dimensional LSTM that reads a patch from corner to corner.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 14


class GridLSTM(nn.Module):
    """Cell (i, j) sees its pixel and the states above it and to the left; one anti-diagonal is computed at a time."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        self.x = nn.Linear(inputs, 5 * hidden)
        self.left = nn.Linear(hidden, 5 * hidden, bias=False)
        self.up = nn.Linear(hidden, 5 * hidden, bias=False)
        with torch.no_grad():
            self.x.bias.zero_()
            self.x.bias[hidden : 2 * hidden] = 1.0

    def forward(self, image):
        n, rows, cols = image.shape
        skewed = F.pad(image, (0, rows)).flatten(1)[:, :-rows].view(n, rows, -1)
        x = self.x(skewed.transpose(1, 2).unsqueeze(-1)).unbind(1)
        h = c = image.new_zeros(n, rows, self.hidden)
        row = torch.arange(rows)
        for d in range(rows + cols - 1):
            inside = ((d - row >= 0) & (d - row < cols)).float().view(1, -1, 1)
            h_up, c_up = F.pad(h[:, :-1], (0, 0, 1, 0)), F.pad(c[:, :-1], (0, 0, 1, 0))
            gates = x[d] + self.left(h) + self.up(h_up)
            i, f1, f2, o, g = gates.chunk(5, -1)
            i, f1, f2, o = i.sigmoid(), f1.sigmoid(), f2.sigmoid(), o.sigmoid()
            c = (f1 * (f2 * c + (1 - f2) * c_up) + i * g.tanh()) * inside
            h = o * c.tanh() * inside
        return h[:, -1]


class Reader(nn.Module):
    def __init__(self, hidden=16, kinds=4):
        super().__init__()
        self.grid = GridLSTM(1, hidden)
        self.head = nn.Linear(hidden, kinds)

    def forward(self, image):
        return self.head(self.grid(image))


def gravel(n):
    kind = torch.randint(4, (n,))
    a = torch.arange(SIDE).float()
    angle = kind * math.pi / 4 + 0.15 * torch.randn(n)
    k = 1.3 + 0.4 * torch.rand(n)
    phase = (k * angle.cos()).view(-1, 1, 1) * a.view(1, -1, 1) + (k * angle.sin()).view(-1, 1, 1) * a.view(1, 1, -1)
    wave = torch.sin(phase + 6.283 * torch.rand(n, 1, 1))
    return wave + 0.3 * torch.randn(n, SIDE, SIDE), kind


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    held, held_kind = gravel(400)
    model = Reader()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=300, pct_start=0.1)
    for step in range(1, 301):
        image, kind = gravel(16)
        loss = F.cross_entropy(model(image), kind)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 15 == 0:
            with torch.no_grad():
                val = F.cross_entropy(model(held), held_kind).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")


if __name__ == "__main__":
    main()
