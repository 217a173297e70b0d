"""Cross-sections of pebbles: one decoder of signed distances, and a code of its own for every pebble.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

PEBBLES, CODE = 60, 8


def forms(count, rng):
    """Three wobbles of the outline: size and phase."""
    return 0.16 * torch.randn(count, 3, generator=rng), 2 * math.pi * torch.rand(count, 3, generator=rng)


def distance(form, who, at):
    size, phase = form
    angle, radius = torch.atan2(at[:, 1], at[:, 0]), at.norm(dim=1)
    edge = 0.8 + sum(size[who, k] / (k + 1) ** 0.5 * torch.cos((k + 2) * angle + phase[who, k]) for k in range(3))
    return (2.5 * (radius - edge)).clamp(-1, 1)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.codes = nn.Embedding(PEBBLES, CODE)
        nn.init.normal_(self.codes.weight, std=0.1)
        self.first = nn.Linear(CODE + 14, 96)
        self.rest = nn.Sequential(nn.SiLU(), nn.Linear(96, 96), nn.SiLU(), nn.Linear(96, 1))

    def forward(self, who, at):
        waves = torch.cat([at, *(f(k * at) for k in (1.5, 3.0, 5.0) for f in (torch.sin, torch.cos))], 1)
        return self.rest(self.first(torch.cat([self.codes(who), waves], 1)))[:, 0]


def points(count, rng):
    return torch.randint(PEBBLES, (count,), generator=rng), 2.8 * torch.rand(count, 2, generator=rng) - 1.4


def main(seed):
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    form = forms(PEBBLES, rng)
    who_val, at_val = points(6000, rng)
    goal = distance(form, who_val, at_val)
    model = Decoder()
    net = [*model.first.parameters(), *model.rest.parameters()]
    optimizer = torch.optim.Adam([{"params": net, "lr": 4e-3}, {"params": model.codes.parameters(), "lr": 2e-2}])
    steps = 1500
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, 2.0 * (1 - s / steps)))
    for step in range(1, steps + 1):
        who, at = points(400, rng)
        fit = (model(who, at) - distance(form, who, at)).abs().mean()
        loss = fit + 1e-4 * model.codes(who).pow(2).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 75 == 0:
            with torch.no_grad():
                error = (model(who_val, at_val) - goal).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
