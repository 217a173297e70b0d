"""A network is trained on two moons, then adapted to turned moons by low-rank additions to its frozen layers.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import make_moons
from torch import nn


class LowRank(nn.Module):
    """A frozen linear layer plus a trainable product of two thin matrices."""

    def __init__(self, linear, rank=4):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, x):
        return self.linear(x) + x @ self.down.T @ self.up.T


def train(model, optimizer, points, labels, steps, report=None):
    loss_fn = nn.BCEWithLogitsLoss()
    for step in range(1, steps + 1):
        rows = torch.randint(len(points), (64,))
        loss = loss_fn(model(points[rows]).squeeze(-1), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report and step % 15 == 0:
            report(step, loss)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)

    points, labels = make_moons(1200, noise=0.1, random_state=seed)
    points, labels = torch.tensor(points, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)
    turned = points @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]])

    model = nn.Sequential(nn.Linear(2, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, 1))
    train(model, torch.optim.Adam(model.parameters(), lr=3e-3), points, labels, steps=200)

    for i in (0, 2, 4):
        model[i] = LowRank(model[i])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=5e-3)

    def report(step, loss):
        with torch.no_grad():
            guess = model(turned).squeeze(-1) > 0
        print(f"step {step}  loss {loss.item():.4f}  accuracy {(guess == labels.bool()).float().mean().item():.4f}")

    train(model, optimizer, turned, labels, steps=300, report=report)


if __name__ == "__main__":
    main()
