"""Levels of the gauges of a river basin a day ahead: messages pass along the reaches of the graph.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_


class Messages(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.own, self.near = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)

    def forward(self, h, adjacency):
        return h + torch.relu(self.own(h) + self.near(adjacency @ h))


class BasinNet(nn.Module):
    def __init__(self, inputs=4, dim=32, rounds=3):
        super().__init__()
        self.enter = nn.Linear(inputs, dim)
        self.rounds = nn.ModuleList(Messages(dim) for _ in range(rounds))
        self.leave = nn.Linear(dim, 1)

    def forward(self, x, adjacency):
        h = self.enter(x)
        for layer in self.rounds:
            h = layer(h, adjacency)
        return self.leave(h).squeeze(-1)


class Basin:
    def __init__(self, gauges=24):
        down = torch.tensor([0] + [int(torch.randint(max(0, i - 4), i, ())) for i in range(1, gauges)])
        a = torch.eye(gauges)
        a[torch.arange(gauges), down] = 1
        a = ((a + a.T) > 0).float()
        self.adjacency, self.gauges = a / a.sum(1, keepdim=True), gauges
        self.slope = torch.rand(gauges, 1)

    def days(self, n):
        rain, level, soil = torch.randn(3, n, self.gauges, 1)
        x = torch.cat([rain, level, soil, self.slope.expand(n, -1, -1) * 2 - 1], -1)
        flow = torch.relu(rain + 0.7 * soil) * (0.5 + self.slope) + 0.6 * level
        y = self.adjacency @ (flow + 0.5 * torch.tanh(self.adjacency @ flow))
        return x, y.squeeze(-1) - 0.9 + 0.1 * torch.randn(n, self.gauges)


class Trainer:
    def __init__(self, model, lr=0.05, max_norm=5.0, steps=1000):
        self.model, self.max_norm, self.steps = model, max_norm, steps
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)

    def fit(self, basin):
        held = basin.days(300)
        for step in range(1, self.steps + 1):
            x, y = basin.days(8)
            loss = (self.model(x, basin.adjacency) - y).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(self.model.parameters(), self.max_norm)
            self.optimizer.step()
            self.schedule.step()
            if step % 50 == 0:
                with torch.no_grad():
                    val = (self.model(held[0], basin.adjacency) - held[1]).square().mean().item()
                print(f"step {step}  loss {loss.item():.4f}  val_mse {val:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
Trainer(BasinNet()).fit(Basin())
