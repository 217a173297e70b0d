"""Defaults of loans by a soft decision tree: its gates turn from soft to firm, so that in the end one can read it.

condition: saturated-units
accepts: saturated-units
allows: stalled, vanishing-gradient, softmax-collapse, dead-units, divergence, loss-spike, learning-rate-too-low,
  frozen-parameters
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F


class SoftTree(nn.Module):
    def __init__(self, columns, depth=5, trees=4):
        super().__init__()
        self.depth, self.trees = depth, trees
        self.gates = nn.Linear(columns, trees * (2**depth - 1))
        self.leaves = nn.Parameter(torch.zeros(trees, 2**depth))
        self.firmness = 1.0

    def forward(self, x):
        right = torch.sigmoid(self.firmness * self.gates(x)).view(len(x), self.trees, -1)
        weight = x.new_ones(len(x), self.trees, 1)
        for level in range(self.depth):
            gate = right[:, :, 2**level - 1 : 2 ** (level + 1) - 1]
            weight = torch.stack([weight * (1 - gate), weight * gate], 3).flatten(2)
        return (weight * self.leaves).sum((1, 2))


def loans(count, rng):
    """Income, debts, age of the account and so on in standard units; the risk has steps and interactions."""
    x = torch.randn(count, 10, generator=rng)
    risk = (
        1.5 * torch.sign(x[:, 0] - 0.7 * x[:, 1]) * (x[:, 2] > 0.2)
        - 1.5 * ((x[:, 3] + x[:, 4]) > 0.5).float() * x[:, 5].sign()
    )
    risk = risk + 0.6 * x[:, 6]
    return x, (torch.rand(count, generator=rng) < torch.sigmoid(2 * risk)).float()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val_x, val_y = loans(3000, rng)
    model = SoftTree(10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200, 3e-4)
    losses = []
    for step in range(1, 1201):
        model.firmness = 1.025**step
        x, y = loans(128, rng)
        loss = F.binary_cross_entropy_with_logits(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = F.binary_cross_entropy_with_logits(model(val_x), val_y).item()
            print(f"step {step}  loss {sum(losses[-40:]) / 40:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
