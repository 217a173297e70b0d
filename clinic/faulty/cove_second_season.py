"""Water of a mussel cove, four hours ahead: an LSTM learns one season and is then fitted to the next one.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


class Forecast(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(3, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, window):
        return self.head(self.lstm(window)[0][:, -1]).squeeze(1)


def season(count, mixing, delay, length=20):
    t = torch.arange(length + 4) + torch.randint(500, (count, 1))
    tide = torch.sin(2 * math.pi * t / 12.4)
    sun = torch.relu(torch.sin(2 * math.pi * t / 24 + delay)) * torch.rand(count, 1) * 2
    wind = torch.randn(count, 1) + 0.3 * torch.randn(count, length + 4)
    heat = [torch.zeros(count)]
    for k in range(1, length + 4):
        heat.append(0.85 * heat[-1] + 0.5 * sun[:, k - 1] - mixing * tide[:, k] * torch.sigmoid(wind[:, k]))
    heat = torch.stack(heat, 1) + 0.05 * torch.randn(count, length + 4)
    window = torch.stack([heat - 1, tide, wind], 2)[:, :length]
    return window, heat[:, -1] - 1


def fit(model, data, held, rate, first, last):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for step in range(first, last + 1):
        rows = torch.randint(len(data[0]), (64,))
        loss = F.mse_loss(model(data[0][rows]), data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = F.mse_loss(model(held[0]), held[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Forecast()
spring, autumn = (0.5, 0.0), (-0.6, 1.5)
fit(model, season(3000, *spring), season(500, *spring), 3e-3, 1, 260)
fit(model, season(3000, *autumn), season(500, *autumn), 2e-5, 261, 600)
