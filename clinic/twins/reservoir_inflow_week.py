"""A week of inflow to a reservoir from the last month, by dilated convolutions; SGD and clipping as in the paper.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

PAST, AHEAD = 32, 7


class Forecaster(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.inlet = nn.Conv1d(1, channels, 1)
        self.convs = nn.ModuleList(nn.Conv1d(channels, channels, 3, dilation=d, padding=d) for d in (1, 2, 4))
        self.outlet = nn.Linear(channels * 4, AHEAD)

    def forward(self, past):
        x = self.inlet(past.unsqueeze(1))
        for conv in self.convs:
            x = x + torch.relu(conv(x))
        return self.outlet(x[:, :, -4:].flatten(1))


class SumOverWeek(nn.Module):
    def forward(self, forecast, truth):
        return (forecast - truth).square().sum(1).mean()


def inflow(count):
    t = torch.arange(PAST + AHEAD)
    period = 6 + 10 * torch.rand(count, 1)
    phase = 2 * math.pi * torch.rand(count, 1)
    size = 0.5 + 1.5 * torch.rand(count, 1)
    flow = size * torch.sin(2 * math.pi * t / period + phase) + 1.5 * torch.randn(count, 1)
    flow = flow + 0.1 * torch.randn(count, PAST + AHEAD)
    return flow[:, :PAST], flow[:, PAST:]


def train(args, max_norm=5.0):
    torch.manual_seed(args.seed)
    model = Forecaster()
    loss_fn = SumOverWeek()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    val_past, val_ahead = inflow(256)
    for step in range(1, 301):
        past, ahead = inflow(32)
        optimizer.zero_grad()
        loss = loss_fn(model(past), ahead)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        optimizer.step()
        if step % 15 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = loss_fn(model(val_past), val_ahead).item()
            model.train()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args())
