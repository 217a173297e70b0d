"""Spike counts of sixteen neurons of the visual cortex, predicted from the stimulus by a recurrent network.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn

NEURONS, T, STIM = 16, 30, 4


class Cortex:
    """Orientation-tuned cells behind a slow adaptation; counts are Poisson, some cells fire hardly ever."""

    def __init__(self):
        g = torch.Generator().manual_seed(42)
        self.weights = torch.randn(STIM, NEURONS, generator=g)
        self.base = torch.linspace(-2.0, 2.2, NEURONS)

    def record(self, n, gen):
        f = 0.05 + 0.15 * torch.rand(n, 1, STIM, generator=gen)
        phase = 2 * math.pi * torch.rand(n, 1, STIM, generator=gen)
        t = torch.arange(T).view(1, T, 1)
        stim = torch.sin(2 * math.pi * f * t + phase) + 0.3 * torch.randn(n, T, STIM, generator=gen)
        drive, tired, counts = stim @ self.weights, torch.zeros(n, NEURONS), []
        for k in range(T):
            rate = torch.exp((self.base + 0.6 * drive[:, k] - 0.8 * tired).clamp(max=4))
            counts.append(torch.poisson(rate, generator=gen))
            tired = 0.8 * tired + 0.2 * torch.tanh(drive[:, k])
        return stim, torch.stack(counts, 1)


class RateNet(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.rnn = nn.GRU(STIM, hidden, batch_first=True)
        self.log_rate = nn.Linear(hidden + STIM, NEURONS)

    def forward(self, stim):
        return self.log_rate(torch.cat([self.rnn(stim)[0], stim], 2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    cortex = Cortex()
    val_stim, val_counts = cortex.record(300, gen)
    model = RateNet()
    loss_fn = nn.PoissonNLLLoss(log_input=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
    steps, warm = 500, 50

    def rate(s):
        return s / warm if s < warm else 0.01 + 0.5 * (1 + math.cos(math.pi * (s - warm) / (steps - warm)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for step in range(1, steps + 1):
        stim, counts = cortex.record(32, gen)
        loss = loss_fn(model(stim), counts)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_nll = loss_fn(model(val_stim), val_counts).item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
