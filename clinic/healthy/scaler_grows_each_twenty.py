"""Hourly tides in float16 with a gradient scaler that tries a doubled scale after every twenty good steps.

condition: healthy
metric: rmse min
"""

import argparse
import math

import torch
from torch import nn

PAST, AHEAD = 36, 6


def tides(count):
    """Heights in metres at a port with three tidal constituents and weather."""
    hour = torch.rand(count, 1) * 8000 + torch.arange(PAST + AHEAD)
    height = torch.zeros_like(hour)
    for period, size in ((12.42, 1.6), (12.0, 0.6), (25.82, 0.4)):
        height += size * torch.cos(2 * math.pi * hour / period)
    surge = 0.3 * torch.randn(count, 1)
    return height[:, :PAST] + surge + 0.05 * torch.randn(count, PAST), height[:, PAST:] + surge


class TideNet(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.conv = nn.Conv1d(1, 16, 9, padding=4)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(16 * PAST, width), nn.GELU(), nn.Linear(width, AHEAD))

    def forward(self, past):
        return self.dense(torch.relu(self.conv(past.unsqueeze(1))))


class Trainer:
    def __init__(self, model, optimizer):
        self.model, self.optimizer = model, optimizer
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14, growth_interval=20)
        self.skipped = 0

    def step(self, past, future):
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            forecast = self.model(past)
        loss = nn.functional.mse_loss(forecast.float(), future)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.model.parameters(), 5.0)
        self.scaler.step(self.optimizer)
        before = self.scaler.get_scale()
        self.scaler.update()
        self.skipped += self.scaler.get_scale() < before
        return loss.item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = TideNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    trainer = Trainer(model, optimizer)
    past, future = tides(500)
    for step in range(1, 401):
        loss = trainer.step(*tides(32))
        if step % 20 == 0:
            with torch.no_grad():
                rmse = (model(past) - future).pow(2).mean().sqrt().item()
            print(f"step {step}  loss {loss:.4f}  rmse {rmse:.4f}  skipped {trainer.skipped}")


if __name__ == "__main__":
    main()
