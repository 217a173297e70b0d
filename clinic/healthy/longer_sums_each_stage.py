"""A recurrent network keeps the balance of an account; the statements get longer from stage to stage.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

STAGES = [(0, 3), (200, 6), (400, 10), (600, 16)]


def statements(n, length):
    """Amounts with a flag `booked`; only booked amounts count, and the balance never falls below 0."""
    amount = torch.randn(n, length)
    booked = (torch.rand(n, length) < 0.6).float()
    balance = torch.zeros(n)
    for t in range(length):
        balance = (balance + amount[:, t] * booked[:, t]).clamp(min=0)
    return torch.stack([amount, booked], -1), balance


class Account(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.rnn = nn.GRU(2, width, batch_first=True)
        self.out = nn.Sequential(nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.out(states[:, -1]).squeeze(-1)


model = Account()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
decay = torch.optim.lr_scheduler.MultiStepLR(optimizer, [600, 750], gamma=0.4)
loss_fn = nn.MSELoss()
final = statements(300, STAGES[-1][1])

for step in range(900):
    length = [size for first, size in STAGES if step >= first][-1]
    x, balance = statements(64, length)
    loss = loss_fn(model(x), balance)
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    decay.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = (model(final[0]) - final[1]).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
