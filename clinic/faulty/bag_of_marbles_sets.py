"""A set network tells the share of glass, clay and steel in a bag of marbles from a rough weighing of each.

condition: scheduler-misuse
accepts: scheduler-misuse
allows: learning-rate-too-high, edge-of-stability, loss-spike
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

STEPS, SECOND = 900, 150
GLASS = torch.tensor([[1.0, 2.5], [1.6, 2.0], [1.1, 7.8]])


def bags(count, size=12):
    """Diameter and weight of the marbles of a bag, and the shares of the three kinds."""
    shares = torch.distributions.Dirichlet(torch.ones(3)).sample((count,))
    kind = torch.multinomial(shares, size, replacement=True)
    diameter = GLASS[kind, 0] * (1 + 0.15 * torch.randn(count, size))
    weight = 0.5236 * diameter**3 * GLASS[kind, 1] * (1 + 0.15 * torch.randn(count, size))
    marbles = torch.stack([(diameter - 1.2) / 0.35, (weight.clamp(min=0.05).log() - 1.2) / 0.8], -1)
    found = nn.functional.one_hot(kind, 3).float().mean(1)
    return marbles, found


class Bag(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.each = nn.Sequential(nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.all = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, marbles):
        h = self.each(marbles)
        pooled = torch.cat([h.mean(1), h.amax(1)], -1)
        return self.all(pooled)


model = Bag()
loss_fn = nn.MSELoss()
test, test_shares = bags(500)

# first the readout alone, then everything
optimizer = torch.optim.Adam(model.all.parameters(), lr=1.8e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=STEPS)
for step in range(STEPS):
    if step == SECOND:
        optimizer = torch.optim.Adam(model.parameters(), lr=1.8e-2)
    marbles, shares = bags(6)
    loss = loss_fn(model(marbles), shares)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 20 == 19:
        with torch.no_grad():
            error = (model(test) - test_shares).abs().mean()
        print(f"step {step + 1}  loss {loss.item():.5f}  error {error.item():.5f}")
