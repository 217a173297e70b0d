"""Power of a roof's solar panels in the next hour, with its uncertainty, in float16 with a gradient scaler.

condition: healthy
metric: rmse min
"""

import argparse
import math

import torch
from torch import nn


def make_year(generator, days=300):
    """Hour, season, clouds of the last three hours; the power is nothing at all at night."""
    hour = torch.arange(24.0).repeat(days)
    season = torch.sin(2 * math.pi * torch.arange(days) / 365).repeat_interleave(24)
    clouds = torch.rand(days + 1, generator=generator).repeat_interleave(24)
    clouds = (clouds + 0.2 * torch.randn(len(clouds), generator=generator)).clamp(0, 1)
    height = torch.relu(torch.sin((hour - 6) / 12 * math.pi) + 0.35 * season)
    power = height * (1 - 0.8 * clouds[: len(hour)] ** 2) * 3
    power = power + 0.1 * height * torch.randn(len(hour), generator=generator)
    angle = 2 * math.pi * hour / 24
    seen = clouds.unfold(0, 3, 1)[: len(hour)]
    return torch.stack([angle.sin(), angle.cos(), season], 1), seen, power


class Forecast(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.clock, self.sky = nn.Linear(3, hidden), nn.Linear(3, hidden)
        self.mix = nn.Linear(hidden, hidden)
        self.out = nn.Linear(hidden, 2)

    def forward(self, clock, sky):
        h = torch.relu(self.clock(clock)) * torch.sigmoid(self.sky(sky)) + torch.relu(self.sky(sky))
        mean, log_variance = self.out(torch.relu(self.mix(h))).unbind(1)
        return torch.relu(mean), log_variance


def loss_fn(mean, log_variance, power):
    mean, log_variance = mean.float(), log_variance.float().clamp(min=-8)
    return (0.5 * log_variance + 0.5 * (power - mean) ** 2 * torch.exp(-log_variance)).mean()


class Training:
    def __init__(self, seed):
        torch.manual_seed(seed)
        generator = torch.Generator().manual_seed(seed)
        self.data = make_year(generator)
        shuffled = torch.randperm(len(self.data[0]), generator=generator)
        self.train, self.test = shuffled[:6000], shuffled[6000:]
        self.model = Forecast()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=5e-3)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)

    def step(self):
        rows = self.train[torch.randint(6000, (64,))]
        clock, sky, power = (part[rows] for part in self.data)
        with torch.autocast("cpu", dtype=torch.float16):
            mean, log_variance = self.model(clock, sky)
            loss = loss_fn(mean, log_variance, power)
        self.optimizer.zero_grad()
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.item()

    @torch.no_grad()
    def rmse(self):
        clock, sky, power = (part[self.test] for part in self.data)
        return (self.model(clock, sky)[0] - power).pow(2).mean().sqrt().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    training = Training(parser.parse_args().seed)
    for step in range(1, 501):
        loss = training.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss:.4f}  rmse {training.rmse():.4f}  scale {training.scaler.get_scale():g}")
