"""A causal convolution forecasts the steam that dairies draw, from daily files of their meters.

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

WINDOW, BATCH, FILES = 40, 32, 500


def records(n):
    """Steam of n dairies per quarter of an hour, in t/h: shifts, cleaning at night, and slow weather."""
    t = torch.randint(96, (n, 1)) + torch.arange(WINDOW + 1)
    weather = [0.4 * torch.randn(n)]
    for _ in range(WINDOW):
        weather.append(0.97 * weather[-1] + 0.1 * torch.randn(n))
    day = (t % 96) / 96
    steam = 3 + torch.sin(2 * math.pi * day) + 0.6 * torch.sin(6 * math.pi * day + 0.5)
    steam = steam + 0.9 * torch.exp(-(((day - 0.9) / 0.03) ** 2)) + torch.stack(weather, 1)
    return steam + 0.05 * torch.randn(n, WINDOW + 1)


def load(number):
    """The file of one day; on the day of the overhaul some meters send their code for `not connected`."""
    rows = records(BATCH)
    if number == 370:
        rows[::5, 25:] = 999.9
    return rows


def split(rows):
    rows = (rows - 3.0) / 1.2
    return rows[:, None, :-1], rows[:, -1]


class Causal(nn.Module):
    def __init__(self, channels=20):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(1 if i == 0 else channels, channels, 3, dilation=2**i) for i in range(4))
        self.head = nn.Linear(channels, 1)

    def forward(self, x):
        for layer in self.layers:
            x = torch.relu(layer(x))
        return self.head(x[..., -1]).squeeze(1)


model = Causal()
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.MSELoss()
test_x, test_y = split(records(300))

for step in range(FILES):
    rows = load(step)
    rows = rows[rows.amax(1) < 50]
    x, y = split(rows)
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 200.0)
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            mae = (model(test_x) - test_y).abs().mean().item() * 1.2
        print(f"step {step}  loss {loss.item():.4f}  mae {mae:.4f}")
