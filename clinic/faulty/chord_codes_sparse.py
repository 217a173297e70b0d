"""Sparse codes of chords' spectra: a linear dictionary and units that fire above a threshold, raised step by step.

condition: dead-units
accepts: dead-units
allows: stalled, divergence, loss-spike, vanishing-gradient, detached-parameters, frozen-parameters, loss-term-imbalance
metric: val_loss min
"""

import argparse

import torch
from torch import nn

BINS, NOTES = 64, 30


def chords(count, rng):
    k = torch.arange(BINS)
    base = 3 + 1.3 * torch.arange(NOTES)[:, None]
    tone = sum(torch.exp(-0.5 * ((k - h * base) / 1.2) ** 2) / h for h in (1, 2, 3))
    loud = torch.rand(count, NOTES, generator=rng) + 0.5
    played = torch.rand(count, NOTES, generator=rng) < 0.1
    return 1.5 * (loud * played) @ tone + 0.05 * torch.randn(count, BINS, generator=rng)


class SparseCoder(nn.Module):
    def __init__(self, units=96):
        super().__init__()
        self.encode = nn.Linear(BINS, units)
        self.dictionary = nn.Parameter(self.encode.weight.detach().T.clone())
        self.offset = nn.Parameter(torch.zeros(BINS))
        self.threshold = 0.0

    def forward(self, x):
        code = torch.relu(self.encode(x - self.offset) - self.threshold)
        return code @ self.dictionary.T + self.offset, code


class Threshold:
    """Nothing at first; from step `begin` on a bit more after each update."""

    def __init__(self, model, begin, gain, end):
        self.model, self.begin, self.gain, self.end = model, begin, gain, end
        self.count = 0

    def step(self):
        self.count += 1
        if self.begin <= self.count < self.end:
            self.model.threshold += self.gain


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = chords(1000, rng)
    model, loss_fn = SparseCoder(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 1000)
    threshold = Threshold(model, 400, 0.02, 1001)
    for step in range(1, 1001):
        x = chords(64, rng)
        rebuilt, code = model(x)
        loss = loss_fn(rebuilt, x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        threshold.step()
        if step % 40 == 0:
            with torch.no_grad():
                rebuilt, code = model(val)
                val_loss = loss_fn(rebuilt, val).item()
            print(
                f"step {step}  active {(code > 0).float().mean().item():.3f}  loss {loss.item():.5f}  val_loss {val_loss:.5f}"
            )


main()
