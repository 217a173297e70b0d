"""Joint law of a vineyard's sugar, acid, rain and warmth by a coupling flow; density of days it has not seen.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn

DIM = 4


def days(count, rng):
    warm = torch.randn(count, generator=rng)
    rain = torch.exp(0.5 * torch.randn(count, generator=rng)) * torch.exp(-0.3 * warm)
    sugar = torch.tanh(warm) + 0.15 * torch.randn(count, generator=rng) * (0.3 + rain)
    acid = 0.4 * warm**2 - 0.5 * sugar + 0.1 * torch.randn(count, generator=rng)
    return torch.stack([0.4 * warm, 0.5 * (rain - 1.2), 0.5 * sugar, 0.5 * (acid - 0.4)], 1)


class Coupling(nn.Module):
    def __init__(self, flip):
        super().__init__()
        order = torch.arange(DIM).roll(flip)
        self.register_buffer("kept", order[: DIM // 2])
        self.register_buffer("moved", order[DIM // 2 :])
        self.net = nn.Sequential(nn.Linear(DIM // 2, 48), nn.SiLU(), nn.Linear(48, 48), nn.SiLU(), nn.Linear(48, DIM))
        nn.init.zeros_(self.net[4].weight)
        nn.init.zeros_(self.net[4].bias)

    def forward(self, x):
        shift, scale = self.net(x[:, self.kept]).chunk(2, 1)
        scale = 2 * torch.tanh(scale / 2)
        out = x.clone()
        out[:, self.moved] = x[:, self.moved] * scale.exp() + shift
        return out, scale.sum(1)


class Flow(nn.Module):
    def __init__(self, depth=8):
        super().__init__()
        self.steps = nn.ModuleList(Coupling(k) for k in range(depth))
        self.log_scale = nn.Parameter(torch.zeros(DIM))

    def forward(self, x):
        """Log-density."""
        x, total = x * self.log_scale.exp(), self.log_scale.sum()
        for step in self.steps:
            x, part = step(x)
            total = total + part
        return total - 0.5 * x.pow(2).sum(1) - 0.5 * DIM * math.log(2 * math.pi)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    x, x_val = days(6000, rng), days(3000, rng)
    flow = Flow()
    optimizer = torch.optim.AdamW(flow.parameters(), lr=2e-3, weight_decay=1e-4)
    epochs = 18
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * 40)
    for epoch in range(1, epochs + 1):
        for rows in torch.randperm(len(x)).split(150):
            loss = -flow(x[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            print(f"epoch {epoch}  loss {loss.item():.4f}  val_nll {-flow(x_val).mean().item():.4f}")


if __name__ == "__main__":
    main()
