"""The next two hours of a harbour's water level from the last thirty-two, with a GRU and a warm-up-and-decay schedule.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

WINDOW, AHEAD, STEPS, WARM, PEAK = 32, 2, 600, 400, 0.008


def water_level(hours):
    t = torch.arange(hours, dtype=torch.float32)
    tide = sum(
        a * torch.sin(2 * math.pi * t / p + torch.rand(1) * 6.28)
        for a, p in ((1.0, 12.42), (0.45, 12.0), (0.3, 23.93), (0.2, 25.82))
    )
    surge = torch.zeros(hours)
    for i in range(1, hours):
        surge[i] = 0.9 * surge[i - 1] + 0.05 * torch.randn(())
    return tide + surge


class TideGRU(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.gru = nn.GRU(1, hidden, batch_first=True)
        self.out = nn.Linear(hidden, AHEAD)

    def forward(self, past):
        return self.out(self.gru(past)[1][-1])


def windows(series, starts):
    return torch.stack([series[s : s + WINDOW] for s in starts]).unsqueeze(-1), torch.stack(
        [series[s + WINDOW : s + WINDOW + AHEAD] for s in starts]
    )


def run(seed):
    torch.manual_seed(seed)
    series = water_level(4000)
    series = (series - series[:3000].mean()) / series[:3000].std()
    val_past, val_next = windows(series, range(3000, 3560, 2))
    model, loss_fn = TideGRU(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=PEAK)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: (i + 1) / WARM if i < WARM else (STEPS - i) / (STEPS - WARM)
    )
    for step in range(1, STEPS + 1):
        past, following = windows(series, torch.randint(2960, (32,)))
        loss = loss_fn(model(past), following)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_error = (model(val_past) - val_next).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {val_error:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    run(parser.parse_args().seed)
