"""Power that a cold store draws tomorrow from a day of outdoor warmth and damp; the archive is read month by month.

condition: loss-spike
accepts: loss-spike, bad-batch, unscaled-inputs
allows: divergence, unsafe-step, learning-rate-too-high, unshuffled-data, epsilon-dominated-update, stalled
metric: val_mae min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

MONTHS, BATCHES = 20, 45


class Draw(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.conv1 = nn.Conv1d(2, width, 5, padding=2)
        self.conv2 = nn.Conv1d(width, width, 5, padding=2, stride=2)
        self.head = nn.Sequential(nn.Linear(width * 6, 48), nn.GELU(), nn.Linear(48, 1))

    def forward(self, x):
        h = F.gelu(self.conv1(x))
        h = F.avg_pool1d(F.gelu(self.conv2(h)), 2)
        return self.head(h.flatten(1)).squeeze(1)


def days(n):
    hour = torch.arange(24)
    mean, swing, damp = 12 + 8 * torch.randn(n, 1), 3 + 2 * torch.rand(n, 1), torch.rand(n, 1)
    warmth = mean + swing * torch.sin(2 * math.pi * (hour - 9) / 24) + torch.randn(n, 24)
    wet = (damp + 0.2 * torch.randn(n, 24) - 0.01 * (warmth - mean)).clamp(0, 1)
    load = F.softplus((warmth - 10) / 4).mean(1) * (1 + 0.5 * wet[:, 12:].mean(1)) + 0.1 * swing.squeeze(1)
    return warmth, wet, load + 0.05 * torch.randn(n)


def read_month(month):
    for _ in range(BATCHES):
        warmth, wet, load = days(32)
        yield (warmth * 1.8 + 32 if month == 12 else warmth), wet, load


def features(warmth, wet):
    return torch.stack([(warmth - 12) / 9, (wet - 0.5) / 0.35], 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    warmth, wet, held_load = days(800)
    held = features(warmth, wet)
    model = Draw()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, MONTHS * BATCHES, eta_min=1e-4)
    for month in range(1, MONTHS + 1):
        total = 0.0
        for warmth, wet, load in read_month(month):
            loss = F.mse_loss(model(features(warmth, wet)), load)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() / BATCHES
        with torch.no_grad():
            mae = (model(held) - held_load).abs().mean().item()
        print(f"epoch {month}  loss {total:.4f}  val_mae {mae:.4f}")


if __name__ == "__main__":
    main()
