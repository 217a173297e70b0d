"""Which way does a kite turn? Rectifier units that keep their share of activity by a threshold of their own.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Homeostatic(nn.Module):
    def __init__(self, inputs, units, share=0.3, pace=2e-3):
        super().__init__()
        self.linear = nn.Linear(inputs, units)
        self.register_buffer("threshold", torch.zeros(units))
        self.share, self.pace, self.adapts = share, pace, False

    def forward(self, x):
        h = F.relu(self.linear(x) - self.threshold)
        if self.training and self.adapts:
            active = (h > 0).float().mean(0)
            self.threshold += self.pace * (active - self.share)
        return h


class Kite(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = Homeostatic(6, 96), Homeostatic(96, 96)
        self.out = nn.Linear(96, 3)

    def forward(self, x):
        return self.out(self.two(self.one(x)))


def flights(count):
    wind, gust, left, right, tail, pitch = torch.randn(6, count)
    pull = torch.sin(2 * (left - right)) + 0.6 * wind * pitch - 0.5 * gust * torch.tanh(tail)
    pull = pull + 0.2 * torch.randn(count)
    return torch.stack([wind, gust, left, right, tail, pitch], 1), (pull > -0.4).long() + (pull > 0.4).long()


class Trainer:
    def __init__(self, seed):
        torch.manual_seed(seed)
        self.model = Kite()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)
        self.data, self.held = flights(8000), flights(2000)

    def epoch(self):
        self.model.train()
        for rows in torch.randperm(len(self.data[1])).split(100):
            loss = F.cross_entropy(self.model(self.data[0][rows]), self.data[1][rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.model.eval()
        with torch.no_grad():
            return loss.item(), F.cross_entropy(self.model(self.held[0]), self.held[1]).item()

    def run(self, epochs):
        for epoch in range(1, epochs + 1):
            self.model.one.adapts = self.model.two.adapts = epoch > 8
            loss, val_loss = self.epoch()
            print(f"epoch {epoch}  loss {loss:.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
Trainer(parser.parse_args().seed).run(20)
