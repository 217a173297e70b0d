"""A generator of daily weather learns against a critic that weighs moments: rain, sun and wind, and how they go together.

condition: healthy
metric: moment_gap min
"""

import argparse

import torch
from torch import nn


def weather(count, generator):
    front = torch.randn(count, generator=generator)
    rain = nn.functional.softplus(1.5 * front - 0.5 + 0.5 * torch.randn(count, generator=generator))
    sun = torch.sigmoid(-1.2 * front + 0.7 * torch.randn(count, generator=generator))
    wind = torch.exp(0.4 * torch.randn(count, generator=generator) + 0.3 * front)
    return torch.stack([rain, sun * 2, wind], 1)


def moments(day):
    a, b, c = day.unbind(1)
    return torch.stack([a, b, c, a * a / 3, b * b / 2, c * c / 3, a * b, a * c / 2, b * c], 1)


class Climate(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 3))

    def forward(self, count, generator):
        return self.net(torch.randn(count, 4, generator=generator))


def play(seed, steps=1200, batch=256):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    truth = moments(weather(20000, generator))
    mean, sd = truth.mean(0), truth.std(0)
    climate = Climate()
    critic = nn.Linear(9, 1, bias=False)
    nn.init.zeros_(critic.weight)
    climate_opt = torch.optim.Adam(climate.parameters(), lr=2e-3, betas=(0.9, 0.99))
    critic_opt = torch.optim.SGD(critic.parameters(), lr=0.3, weight_decay=1.0)
    schedules = [torch.optim.lr_scheduler.LinearLR(o, 1.0, 0.2, steps) for o in (climate_opt, critic_opt)]

    for step in range(1, steps + 1):
        real = (moments(weather(batch, generator)) - mean) / sd
        made = (moments(climate(batch, generator)) - mean) / sd
        value = critic(real).mean() - critic(made).mean()
        climate_opt.zero_grad()
        critic_opt.zero_grad()
        value.backward()
        for p in critic.parameters():
            p.grad.neg_()
        critic_opt.step()
        climate_opt.step()
        for schedule in schedules:
            schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                check = (moments(climate(8000, torch.Generator().manual_seed(1))) - mean) / sd
                gap = check.mean(0).norm().item()
            print(f"step {step}  value {value.item():.4f}  moment_gap {gap:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    play(parser.parse_args().seed)
