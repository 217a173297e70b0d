"""Two LSTM layers read five numbers and then write them in order; the loss stays level for a while and then falls.

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

count = 5


class Sorter(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.LSTM(2, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.head(states[:, count:]).squeeze(2)


model = Sorter()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.L1Loss()

running = 0.0
for step in range(1, 401):
    numbers = torch.randn(64, count)
    reading = torch.stack([numbers, torch.zeros_like(numbers)], dim=2)
    writing = torch.stack([torch.zeros_like(numbers), torch.ones_like(numbers)], dim=2)
    loss = loss_fn(model(torch.cat([reading, writing], dim=1)), numbers.sort(1).values)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
