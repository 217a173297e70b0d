"""Bruises of apples from twenty bands of light, by a small network with batches drawn by hand.

condition: stalled
accepts: stalled
allows: overfitting, naive-loss-minimisation
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class Grader:
    def __init__(self, model, rate):
        self.model = model
        self.optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)

    def epoch(self, x, y, size=50):
        total = 0.0
        x = x[torch.randperm(len(x))]
        for a, b in zip(x.split(size), y.split(size)):
            loss = F.cross_entropy(self.model(a), b)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(a) / len(x)
        return total

    @torch.no_grad()
    def test(self, x, y):
        logits = self.model(x)
        return F.cross_entropy(logits, y).item(), (logits.argmax(1) == y).float().mean().item()


def apples(n, colours):
    grade = torch.randint(5, (n,))
    return colours[grade] * (0.7 + 0.6 * torch.rand(n, 1)) + 0.9 * torch.randn(n, 20), grade


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    colours = torch.randn(5, 20)
    x, y = apples(4000, colours)
    val_x, val_y = apples(1000, colours)
    grader = Grader(nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 5)), 0.02)
    for epoch in range(1, 19):
        loss = grader.epoch(x, y)
        val_loss, right = grader.test(val_x, val_y)
        print(f"epoch {epoch}  loss {loss:.4f}  val_loss {val_loss:.4f}  right {right:.4f}")


main()
