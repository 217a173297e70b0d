"""Weights of a portfolio from signals, by the negative Sharpe ratio of each batch of months.

condition: healthy
metric: sharpe max
"""

import argparse

import torch
from torch import nn

ASSETS, SIGNALS = 8, 5


class Months:
    """Monthly returns: a tenth of their variance follows from the signals, the rest is noise with a common factor."""

    def __init__(self, seed):
        self.rng = torch.Generator().manual_seed(seed)
        self.beta = 0.5 + torch.rand(ASSETS, generator=self.rng)
        k = torch.arange(1.0, SIGNALS + 1)
        self.pull = 0.02 * torch.sin(1.3 * k)

    def draw(self, count):
        signal = torch.randn(count, ASSETS, SIGNALS, generator=self.rng)
        market = 0.04 * torch.randn(count, 1, generator=self.rng)
        noise = 0.05 * torch.randn(count, ASSETS, generator=self.rng)
        gain = torch.tanh(signal @ self.pull / 0.02) * 0.02 * (1 + 0.5 * signal[..., 0].sign())
        return signal, gain + market * self.beta + noise


class Allocation(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.score = nn.Sequential(
            nn.Linear(SIGNALS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        nn.init.zeros_(self.score[-1].weight)

    def forward(self, signal):
        score = self.score(signal).squeeze(2)
        weight = score - score.mean(1, keepdim=True)
        return weight / (weight.abs().sum(1, keepdim=True) + 0.05)


def sharpe_ratio(weight, returns):
    gain = (weight * returns).sum(1)
    return gain.mean() / (gain.std() + 1e-4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    months = Months(seed)
    signal_val, returns_val = months.draw(3000)
    model = Allocation()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
    warm = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, s / 80) * (1 - s / 1050))
    for step in range(1, 1001):
        signal, returns = months.draw(128)
        loss = -sharpe_ratio(model(signal), returns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warm.step()
        if step % 40 == 0:
            with torch.no_grad():
                sharpe = sharpe_ratio(model(signal_val), returns_val).item()
            print(f"step {step}  loss {loss.item():.4f}  sharpe {sharpe:.4f}")


if __name__ == "__main__":
    main()
