"""Depth of a lake from where one stands: a ReLU network whose rate grows when the loss no longer falls fast.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


class Lake(nn.Module):
    def __init__(self, width=80):
        super().__init__()
        self.first, self.second = nn.Linear(2, width), nn.Linear(width, width)
        self.third, self.depth = nn.Linear(width, width), nn.Linear(width, 1)

    def forward(self, place):
        h = torch.relu(self.first(3 * place))
        h = torch.relu(self.second(h))
        h = torch.relu(self.third(h))
        return self.depth(h).squeeze(1)


def survey(count):
    place = 2 * torch.rand(count, 2) - 1
    x, y = place.unbind(1)
    basin = 1.5 * torch.exp(-3 * ((x - 0.3) ** 2 + y**2)) + torch.exp(-8 * ((x + 0.5) ** 2 + (y - 0.4) ** 2))
    return place, basin + 0.2 * torch.sin(6 * x) * torch.cos(5 * y) - 0.5


class Booster:
    """Raises the rate for a while when the last fifty losses are hardly better than the fifty before."""

    def __init__(self, optimizer, factor, every=50):
        self.optimizer, self.factor, self.every = optimizer, factor, every
        self.losses = []

    def step(self, loss):
        self.losses.append(loss)
        if len(self.losses) % self.every or len(self.losses) < 2 * self.every:
            return
        now, before = sum(self.losses[-self.every :]), sum(self.losses[-2 * self.every : -self.every])
        if now > 0.5 * before:
            for group in self.optimizer.param_groups:
                group["lr"] = min(0.3, group["lr"] * self.factor)


def main(seed):
    torch.manual_seed(seed)
    val_place, val_depth = survey(500)
    model = Lake()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    booster = Booster(optimizer, factor=1.2)
    loss_fn = nn.MSELoss()
    for step in range(1, 501):
        place, depth = survey(64)
        loss = loss_fn(model(place), depth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        booster.step(loss.item())
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_place), val_depth).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
