"""Frequency and damping of a vibrating beam from sixty samples of its motion, by a plain recurrent network.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn


class Beam(nn.Module):
    """h ← tanh(W h + V x + b) for each sample; the last state tells frequency and damping."""

    def __init__(self, units=64):
        super().__init__()
        self.V = nn.Parameter(torch.randn(units, 1))
        self.W = nn.Parameter(torch.empty(units, units))
        nn.init.orthogonal_(self.W)
        self.b = nn.Parameter(torch.zeros(units))
        self.answer = nn.Linear(units, 2)

    def forward(self, motion):
        h = motion.new_zeros(motion.shape[0], len(self.b))
        for t in range(motion.shape[1]):
            h = torch.tanh(torch.einsum("bi,ji->bj", h, self.W) + motion[:, t, None] * self.V.T + self.b)
        return self.answer(h)


def strike(size, samples=60):
    frequency = 1 + 4 * torch.rand(size, 1)
    damping = 3 * torch.rand(size, 1)
    t = torch.linspace(0, 1, samples)
    motion = torch.exp(-damping * t) * torch.cos(2 * math.pi * frequency * t)
    target = torch.cat([(frequency - 3) / 1.15, (damping - 1.5) / 0.87], 1)
    return motion + 0.02 * torch.randn(size, samples), target


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Beam()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loss_fn = nn.MSELoss()
    exam, truth = strike(500)
    losses = []
    for step in range(1, 351):
        motion, target = strike(64)
        loss = loss_fn(model(motion), target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 14 == 0:
            with torch.no_grad():
                error = loss_fn(model(exam), truth).item()
            print(f"step {step}  loss {sum(losses[-14:]) / 14:.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
