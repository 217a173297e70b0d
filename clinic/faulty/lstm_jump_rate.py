"""An LSTM tells which of six melodies of three notes is hidden in twenty notes; the rate rises in three stages.

condition: learning-rate-too-high
accepts: learning-rate-too-high, unsafe-step, divergence
allows: loss-spike, saturated-units, stalled, exploding-gradient, vanishing-gradient, output-logit-divergence
metric: val_loss min
"""

import argparse
from itertools import permutations

import torch
from torch import nn

NOTES, LENGTH = 8, 16
MELODIES = torch.tensor(list(permutations((1, 4, 6))))


def songs(count):
    notes = torch.randint(NOTES, (count, LENGTH))
    which = torch.randint(len(MELODIES), (count,))
    place = torch.randint(LENGTH - 3, (count,))
    notes.scatter_(1, place[:, None] + torch.arange(3), MELODIES[which])
    return notes, which


class Listener(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.notes = nn.Embedding(NOTES, 24)
        self.lstm = nn.LSTM(24, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(4 * hidden, len(MELODIES))

    def forward(self, notes):
        states, _ = self.lstm(self.notes(notes))
        return self.head(torch.cat([states.mean(1), states.amax(1)], 1))


def set_rate(optimizer, step, stages):
    for start, rate in stages:
        if step >= start:
            for group in optimizer.param_groups:
                group["lr"] = rate


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

stages = [(0, 3e-3), (60, 6e-3), (200, 3e-1)]
model = Listener()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.CrossEntropyLoss()
val = songs(300)

for step in range(1, 321):
    set_rate(optimizer, step, stages)
    notes, which = songs(48)
    loss = loss_fn(model(notes), which)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 8 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val[0]), val[1]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
