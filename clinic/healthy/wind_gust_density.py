"""How strong the gusts of the next hour will be: a mixture density network, calm weather first and then all of it.

condition: healthy
metric: nll min
"""

import argparse
import math

import torch
from torch import nn

PARTS, STEPS = 4, 1600


def hours(count, roughest):
    """Wind, its trend, the time of day and the stability of the air; calm hours differ in a hundredth, storms in whole units."""
    calm = roughest * torch.rand(count)
    trend, stable = torch.randn(2, count)
    day = 2 * math.pi * torch.rand(count)
    gust = 0.6 * calm + 0.15 * trend * calm + 0.1 * day.sin()
    spread = 0.01 + 0.08 * calm**2 * torch.sigmoid(-stable)
    squall = (torch.rand(count) < 0.25 * calm).float() * 0.5 * (1 + 0.3 * stable)
    gust = gust + squall + spread * torch.randn(count)
    return torch.stack([2 * calm - 1, trend, stable, day.sin(), day.cos()], 1), gust


class MixtureDensity(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.parts = nn.Linear(width, 3 * PARTS)
        with torch.no_grad():
            self.parts.bias[PARTS : 2 * PARTS].copy_(torch.linspace(-0.2, 1.0, PARTS))

    def forward(self, x):
        weight, middle, width = self.parts(self.body(x)).chunk(3, 1)
        spread = nn.functional.softplus(width) + 1e-3
        return torch.distributions.MixtureSameFamily(
            torch.distributions.Categorical(logits=weight), torch.distributions.Normal(middle, spread)
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    held = hours(2000, 1.0)
    model = MixtureDensity()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.01, 1.0, total_iters=100),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS - 100),
        ],
        milestones=[100],
    )
    for step in range(1, STEPS + 1):
        x, gust = hours(128, 0.3 if step <= 400 else 1.0)
        nll = -model(x).log_prob(gust).mean()
        optimizer.zero_grad()
        nll.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 20.0)
        optimizer.step()
        schedule.step()
        if step % 80 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {nll.item():.4f}  nll {-model(held[0]).log_prob(held[1]).mean().item():.4f}")


if __name__ == "__main__":
    main()
