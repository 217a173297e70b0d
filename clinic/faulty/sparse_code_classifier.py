"""Digits through a wide hidden layer that is meant to be sparse; plain SGD.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, frozen-parameters
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
x = torch.tensor(digits.data, dtype=torch.float32)
x = (x - x.mean(0)) / (x.std(0) + 1e-2)
y = torch.tensor(digits.target)


class SparseCode(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.inner = nn.Linear(64, width)
        self.outer = nn.Linear(width, width)
        self.head = nn.Linear(width, 10)
        self.relu = nn.ReLU()
        for layer in (self.inner, self.outer):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.constant_(layer.bias, -6.0)

    def forward(self, x):
        return self.head(self.relu(self.outer(self.relu(self.inner(x)))))


model = SparseCode()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 401):
    batch = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
