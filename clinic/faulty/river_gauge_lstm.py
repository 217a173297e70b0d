"""Tomorrow's flow of a river, in litres a second, from the last twenty days; LSTM, compared with the flow's variance.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: stalled, learning-rate-too-low, saturated-units, vanishing-gradient
metric: unexplained min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

days = torch.arange(1500)
season = 4000 * torch.sin(2 * math.pi * days / 60) + 1500 * torch.sin(2 * math.pi * days / 17)
flow = 20_000 + season + 300 * torch.randn(len(days))
targets = (flow - flow.mean()) / flow.std()
series = flow


class Forecaster(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.lstm(x.unsqueeze(2))
        return self.head(states[:, -1]).squeeze(1)


model = Forecaster()
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
loss_fn = nn.MSELoss()

running = 0.0
for step in range(1, 321):
    starts = torch.randint(len(series) - 21, (48,))
    window = starts[:, None] + torch.arange(20)
    loss = loss_fn(model(series[window]), targets[starts + 20])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  unexplained {running / 10:.4f}")
        running = 0.0
