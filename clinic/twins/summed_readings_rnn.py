"""A plain recurrent cell, written out, smooths a noisy thermometer over fifty readings.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Cell(nn.Module):
    def __init__(self, size_in, hidden):
        super().__init__()
        self.w_in = nn.Parameter(torch.randn(hidden, size_in) / size_in**0.5)
        self.w_rec = nn.Parameter(nn.init.orthogonal_(torch.empty(hidden, hidden)))
        self.bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, x, h):
        return torch.tanh(F.linear(x, self.w_in, self.bias) + F.linear(h, self.w_rec))


class Smoother(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.cell = Cell(1, hidden)
        self.readout = nn.Linear(hidden, 1)
        self.hidden = hidden

    def forward(self, readings):
        h = readings.new_zeros(len(readings), self.hidden)
        for reading in readings.unbind(1):
            h = self.cell(0.3 * reading.unsqueeze(1), h)
        return self.readout(h).squeeze(1)


def readings(count, length=50, keep=0.9):
    drift = torch.randn(count, length).cumsum(1) / 4
    noisy = drift + 0.5 * torch.randn(count, length)
    weights = keep ** torch.arange(length - 1, -1, -1.0)
    target = (noisy * weights).sum(1) / weights.sum()
    return noisy, target


def main(seed):
    torch.manual_seed(seed)
    model = Smoother()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    val_readings, val_target = readings(256)
    for step in range(1, 301):
        x, target = readings(32)
        loss = loss_fn(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_readings), val_target)
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
