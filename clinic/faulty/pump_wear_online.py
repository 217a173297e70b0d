"""Vibration of a water-works pump, learned while it runs: every two hours one step on what was measured.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: saturated-units, learning-rate-too-high, divergence, exploding-gradient, loss-spike, unsafe-step, stalled
metric: error min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SERVICE_LIFE = 4000.0  # hours


def readings(hours_run, count=48):
    """Flow, head and water temperature in units of their spread, hours since the last overhaul; vibration."""
    hours = hours_run - 40 * torch.rand(count)
    flow, head, heat = torch.randn(3, count)
    wear = hours / SERVICE_LIFE
    imbalance = 0.3 + 1.5 * wear**2
    cavitation = torch.relu(flow - 0.5 * head + 0.3 * heat - 0.8 + 1.2 * wear)
    resonance = 0.8 * torch.exp(-((flow - 0.5 + wear) ** 2) / 0.3)
    vibration = imbalance * (1 + 0.3 * flow) + cavitation + resonance - 0.2 * heat * (1 - wear)
    x = torch.stack([flow, head, heat, hours], 1)
    return x, vibration.unsqueeze(1) - 1.0 + 0.05 * torch.randn(count, 1)


class PumpModel(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.enter = nn.Linear(4, width)
        self.middle = nn.Linear(width, width)
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        x = torch.nn.functional.gelu(self.enter(x))
        x = torch.nn.functional.gelu(self.middle(x))
        return self.leave(x)


class Monitor:
    def __init__(self, model, rate=2e-3):
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        self.loss_fn = nn.SmoothL1Loss()
        self.squares = []

    def observe(self, x, y):
        guess = self.model(x)
        self.squares.append((guess - y).square().mean().item())
        loss = self.loss_fn(guess, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def report(self, step, window=50):
        recent = self.squares[-window:]
        print(f"step {step}  error {math.sqrt(sum(recent) / len(recent)):.4f}")


monitor = Monitor(PumpModel())
for step in range(1, 2001):
    monitor.observe(*readings(hours_run=2.0 * step))
    if step % 50 == 0:
        monitor.report(step)
