"""The bend of a wrist and how sure one can be of it, from the wobbling markers of a motion capture suit.

condition: healthy
metric: val_nll min
"""

import argparse

import torch
from torch import nn


class Wrist(nn.Module):
    def __init__(self, markers=6, width=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * markers, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.mean, self.log_std = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, x):
        h = self.body(x)
        return self.mean(h).squeeze(1), 4 * torch.tanh(self.log_std(h).squeeze(1) / 4)


def nll(guess, bend):
    mean, log_std = guess
    return (0.5 * ((bend - mean) * torch.exp(-log_std)) ** 2 + log_std).mean()


def captures(n, arms):
    bend = 1.2 * torch.randn(n)
    wobble = torch.exp(torch.randn(n, 1) - 3.5)
    angle = 0.6 * bend[:, None] + arms
    seen = torch.cat([torch.cos(angle), torch.sin(angle)], 1)
    return (seen + wobble * torch.randn(n, seen.shape[1])) * 1.4, bend


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    arms = 6.28 * torch.rand(6)
    x, bend = captures(20000, arms)
    val_x, val_bend = captures(2000, arms)
    model = Wrist()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    total, warm = 1500, 150
    shape = lambda s: (
        s / warm if s < warm else 0.5 * (1 + torch.cos(torch.tensor(3.1416 * (s - warm) / (total - warm))).item())
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, shape)
    for step in range(1, total + 1):
        rows = torch.randint(len(x), (128,))
        loss = nll(model(x[rows]), bend[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                print(f"step {step}  loss {loss.item():.4f}  val_nll {nll(model(val_x), val_bend).item():.4f}")


main()
