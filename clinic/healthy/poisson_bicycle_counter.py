"""How many bicycles pass in an hour? Poisson likelihood with small counts; its loss is below zero at times.

condition: healthy
metric: deviance min
"""

import argparse
import math

import torch
from torch import nn


class Rate(nn.Module):
    def __init__(self):
        super().__init__()
        self.day = nn.Embedding(7, 4)
        self.net = nn.Sequential(nn.Linear(4 + 5, 40), nn.GELU(), nn.Linear(40, 40), nn.GELU(), nn.Linear(40, 1))
        nn.init.zeros_(self.net[-1].weight)
        nn.init.zeros_(self.net[-1].bias)

    def forward(self, day, rest):
        return self.net(torch.cat([self.day(day), rest], 1)).squeeze(1)


def hours(count):
    day, hour, warmth, rain = torch.randint(7, (count,)), 24 * torch.rand(count), torch.randn(count), torch.rand(count)
    log_rate = 0.8 + 1.2 * torch.cos((hour - 15) * math.pi / 12) + 0.3 * warmth - 1.5 * rain * (rain > 0.6)
    log_rate = log_rate + torch.where(day > 4, -0.6, torch.exp(-0.5 * (hour - 8) ** 2))
    angle = hour * math.pi / 12
    rest = torch.stack([angle.sin(), angle.cos(), (2 * angle).sin(), warmth, rain], 1)
    return (day, rest), torch.poisson(log_rate.exp())


def deviance(log_rate, seen):
    return 2 * (torch.xlogy(seen, seen) - seen * log_rate - seen + log_rate.exp()).mean()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Rate()
    loss_fn = nn.PoissonNLLLoss(log_input=True)
    optimizer = torch.optim.NAdam(model.parameters(), lr=3e-3)
    val_inputs, val_seen = hours(1000)
    for step in range(1, 401):
        inputs, seen = hours(64)
        loss = loss_fn(model(*inputs), seen)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val = deviance(model(*val_inputs), val_seen).item()
            print(f"step {step}  loss {loss.item():.4f}  deviance {val:.4f}")
