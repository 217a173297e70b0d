"""Digits read pixel by pixel, sixty-four time steps, by a recurrent network of rectified units written with a cell.

condition: bptt-explosion
accepts: bptt-explosion
allows: exploding-gradient, non-finite, divergence, unsafe-step, stalled, dead-units, learning-rate-too-high
metric: loss min
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
pixels = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)


class PixelReader(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.RNNCell(1, hidden, nonlinearity="relu")
        nn.init.normal_(self.cell.weight_hh, std=1.9 / hidden**0.5)
        nn.init.zeros_(self.cell.bias_ih)
        nn.init.zeros_(self.cell.bias_hh)
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        state = x.new_zeros(len(x), self.hidden)
        for t in range(x.shape[1]):
            state = self.cell(x[:, t : t + 1], state)
        return self.head(state)


model = PixelReader()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 401):
    batch = torch.randint(len(pixels), (48,))
    loss = loss_fn(model(pixels[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
