"""Parity of three hidden bits out of twenty-four: nothing seems to happen for a long while, then the network has it.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

bits, hidden = 24, 256
secret = torch.randperm(bits)[:3]


def get_batch(size=128):
    x = 2.0 * torch.randint(0, 2, (size, bits)) - 1
    return x, (x[:, secret].prod(1) > 0).float()


model = nn.Sequential(nn.Linear(bits, hidden), nn.ReLU(), nn.Linear(hidden, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.5, weight_decay=1e-4)
loss_fn = nn.BCEWithLogitsLoss()

running = 0.0
for step in range(1, 2001):
    x, y = get_batch()
    loss = loss_fn(model(x).squeeze(1), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 40 == 0:
        print(f"step {step}  loss {running / 40:.4f}")
        running = 0.0
