"""Handwritten digits read by an LSTM in two dimensions: every pixel's cell hears its upper and its left neighbour.

condition: unstable-gating
accepts: unstable-gating
allows: exploding-gradient, saturated-units, bptt-explosion, stalled, vanishing-gradient, unsafe-step, loss-spike
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, test = order[:1400], order[1400:]


class GridLSTM(nn.Module):
    """Anti-diagonals are computed together, so a picture of n by n pixels takes 2n - 1 steps."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(inputs + 2 * hidden, 5 * hidden)
        with torch.no_grad():
            self.gates.bias.zero_()
            self.gates.bias[hidden : 3 * hidden] = 1.0

    def forward(self, x):
        n, side, _, _ = x.shape
        zero = x.new_zeros(n, 1, self.hidden)
        h = c = x.new_zeros(n, side, self.hidden)
        for d in range(2 * side - 1):
            rows = torch.arange(side)
            columns = d - rows
            inside = ((columns >= 0) & (columns < side))[None, :, None]
            pixel = x[:, rows, columns.clamp(0, side - 1)]
            h_up, c_up = torch.cat([zero, h[:, :-1]], 1), torch.cat([zero, c[:, :-1]], 1)
            i, f1, f2, o, g = self.gates(torch.cat([pixel, h, h_up], -1)).chunk(5, -1)
            f1, f2 = f1.sigmoid(), f2.sigmoid()
            c = (f1 * c + f2 * c_up + i.sigmoid() * g.tanh()) * inside
            h = o.sigmoid() * c.tanh() * inside
        return h[:, -1]


class Reader(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.grid = GridLSTM(1, hidden)
        self.head = nn.Linear(hidden, 10)

    def forward(self, pictures):
        return self.head(self.grid(pictures[..., None]))


model = Reader()
optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
loss_fn = nn.CrossEntropyLoss()
for step in range(1, 321):
    batch = train[torch.randint(len(train), (32,))]
    loss = loss_fn(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 16 == 0:
        with torch.no_grad():
            accuracy = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
