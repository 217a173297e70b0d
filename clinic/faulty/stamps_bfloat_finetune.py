"""Digits on stamps: a network that reads clean print is fitted to postmarked ones in a small number format.

condition: low-precision-underflow
accepts: low-precision-underflow, frozen-parameters
allows: stalled, learning-rate-too-low
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10))

    def forward(self, x):
        return self.dense(self.conv(x))


def postmark(x, g):
    """A dark cross over the picture, at another place in each, and worn ink."""
    x = x.clone()
    height = torch.randint(1, 7, (len(x),), generator=g)
    x[torch.arange(len(x)), 0, height] = 1.0
    x[torch.arange(len(x)), 0, :, height.flip(0)] = 0.8
    return 0.8 * x + 0.12 * torch.randn(x.shape, generator=g)


def run_stage(model, optimizer, scheduler, data, val, steps, first, dtype, batch_size=32):
    x, y = data
    for step in range(first, first + steps):
        rows = torch.randint(len(x), (batch_size,))
        loss = F.cross_entropy(model(x[rows].to(dtype)).float(), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                logits = model(val[0].to(dtype)).float()
            val_loss = F.cross_entropy(logits, val[1]).item()
            accuracy = (logits.argmax(1) == val[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  val_accuracy {accuracy:.4f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    digits = load_digits()
    order = torch.randperm(1797, generator=g)
    x = torch.tensor(digits.images, dtype=torch.float32)[order].unsqueeze(1) / 16
    y = torch.tensor(digits.target)[order]
    stamped = postmark(x, g)
    val = stamped[1400:], y[1400:]

    model = Reader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    steady = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    run_stage(model, optimizer, steady, (x[:1400], y[:1400]), val, 200, 1, torch.float32)

    dtype = torch.bfloat16
    model = model.to(dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    fading = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.2, total_iters=900)
    run_stage(model, optimizer, fading, (stamped[:1400], y[:1400]), val, 900, 201, dtype)


if __name__ == "__main__":
    main()
