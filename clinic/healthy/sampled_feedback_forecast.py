"""Level of a tank a day ahead: a GRU that reads its own forecasts more and more often while it learns.

condition: healthy
metric: rollout_error min
"""

import argparse

import torch
from torch import nn

PAST, AHEAD = 16, 20


def tanks(count, rng):
    """Demand by the hour with a tank's own habits; a pump switches on below a mark and off above another."""
    length = PAST + AHEAD
    hour = (torch.randint(24, (count, 1), generator=rng) + torch.arange(length)) % 24
    size = 0.7 + 0.6 * torch.rand(count, 1, generator=rng)
    demand = size * (0.35 + 0.25 * torch.sin(6.283 * (hour - 7) / 12) * (hour > 5))
    demand = demand * (1 + 0.15 * torch.randn(count, length, generator=rng))
    level, pump, levels = 1.5 + torch.randn(count, generator=rng), torch.zeros(count), []
    for t in range(length):
        pump = torch.where(level < 0.6, torch.ones(count), torch.where(level > 3.0, torch.zeros(count), pump))
        level = level + 0.8 * pump - demand[:, t]
        levels.append(level)
    clock = torch.stack([torch.sin(6.283 * hour / 24), torch.cos(6.283 * hour / 24)], 2)
    return (torch.stack(levels, 1) - 1.8) / 0.9, clock


class Forecaster(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 64)
        self.out = nn.Linear(64, 1)

    def forward(self, level, clock, own=0.0):
        """Forecast of every next level; with probability `own` the second half reads the forecast before it."""
        state, guess, guesses = level.new_zeros(len(level), 64), level[:, 0], []
        for t in range(level.shape[1] - 1):
            given = level[:, t]
            if t >= PAST and own > 0:
                given = torch.where(torch.rand(len(level)) < own, guess, given)
            state = self.cell(torch.cat([given[:, None], clock[:, t + 1]], 1), state)
            guess = given + self.out(state)[:, 0]
            guesses.append(guess)
        return torch.stack(guesses, 1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = tanks(300, rng)
    model = Forecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    steps = 320
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        own = min(1.0, max(0.0, (step - 60) / 160))
        level, clock = tanks(64, rng)
        loss = (model(level, clock, own) - level[:, 1:]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        schedule.step()
        if step % 16 == 0:
            with torch.no_grad():
                error = (model(*val, 1.0) - val[0][:, 1:])[:, PAST:].pow(2).mean().sqrt().item()
            print(f"step {step}  own {own:.2f}  loss {loss.item():.4f}  rollout_error {error:.4f}")


if __name__ == "__main__":
    main()
