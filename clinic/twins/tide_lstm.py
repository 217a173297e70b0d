"""An LSTM forecasts the next value of a tide: a sum of a few sines with noise.

condition: healthy
metric: mae min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

hours = torch.arange(3000.0)
tide = torch.sin(2 * math.pi * hours / 12.4) + 0.5 * torch.sin(2 * math.pi * hours / 24) + 0.05 * torch.randn(3000)
WINDOW = 24


class Forecaster(nn.Module):
    def __init__(self, hidden_size=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, x):
        out, _ = self.lstm(x.unsqueeze(-1))
        return self.head(out[:, -1]).squeeze(-1)


def batch(low, high, size=32):
    start = torch.randint(low, high - WINDOW - 1, (size,))
    windows = tide[start[:, None] + torch.arange(WINDOW + 1)]
    return windows[:, :-1], windows[:, -1]


model = Forecaster()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()

for step in range(1, 401):
    x, y = batch(0, 2400)
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            x, y = batch(2400, 3000, 256)
            error = (model(x) - y).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  mae {error:.4f}")
