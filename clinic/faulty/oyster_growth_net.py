"""Growth of oysters from a season's curves of heat and food: trunk and head with rates of their own.

condition: frozen-parameters
accepts: frozen-parameters, scheduler-misuse
allows: learning-rate-too-low, stalled, scheduler-misuse
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WEEKS = 24


def oysters(count):
    week = torch.arange(WEEKS)
    peak = 8 + 8 * torch.rand(count, 1)
    heat = torch.exp(-((week - peak) ** 2) / 40) * (0.6 + 0.6 * torch.rand(count, 1)) + 0.05 * torch.randn(count, WEEKS)
    food = torch.sin(2 * math.pi * (week / 12 + torch.rand(count, 1))) + 0.3 * torch.randn(count, WEEKS)
    eaten = torch.relu(food) * torch.sigmoid(8 * (heat - 0.5))
    growth = eaten.cumsum(1)[:, -1] / 3 - 0.4 * torch.relu(heat - 0.9).sum(1)
    return torch.stack([2 * heat - 0.8, food], 1), growth - 1 + 0.03 * torch.randn(count)


class Oyster(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv1d(2, 24, 3, padding=1),
            nn.GELU(),
            nn.Conv1d(24, 24, 3, padding=1, stride=2),
            nn.GELU(),
            nn.Flatten(),
        )
        self.head = nn.Sequential(nn.Linear(24 * WEEKS // 2, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, curves):
        return self.head(self.trunk(curves)).squeeze(1)


def main(seed, epochs=20):
    torch.manual_seed(seed)
    loader = DataLoader(TensorDataset(*oysters(4000)), batch_size=64, shuffle=True)
    curves, growth = oysters(1000)
    model = Oyster()
    trunk = {"params": model.trunk.parameters(), "lr": 0.02}
    head = {"params": model.head.parameters(), "lr": 0.005}
    optimizer = torch.optim.SGD([trunk, head], momentum=0.9)
    trunk_steps, steps = 4 * len(loader), epochs * len(loader)
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        [lambda step: max(0.0, 1 - step / trunk_steps), lambda step: 1 - step / steps],
    )
    loss_fn = nn.MSELoss()
    for epoch in range(1, epochs + 1):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        with torch.no_grad():
            print(f"epoch {epoch}  loss {loss.item():.5f}  val_loss {loss_fn(model(curves), growth).item():.5f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
