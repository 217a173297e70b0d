"""A tanh RNN weighs fifty noisy pieces of evidence and decides at the end whether they drifted up or down.

condition: bptt-explosion
accepts: bptt-explosion
allows: exploding-gradient, stalled, saturated-units, always-clipping
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

length, hidden = 50, 64


def get_batch(size=64):
    up = torch.randint(2, (size,)).float()
    drift = 0.3 * (2 * up - 1)
    return drift[:, None, None] + torch.randn(size, length, 1), up


class Decision(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, hidden, batch_first=True)
        nn.init.normal_(self.rnn.weight_hh_l0, std=0.4)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.head(states[:, -1]).squeeze(1)


model = Decision()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.BCEWithLogitsLoss()

running = 0.0
for step in range(1, 301):
    x, y = get_batch()
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
