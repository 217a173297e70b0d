"""A small CNN decides from a night camera's frame whether an aircraft stands on the apron.

condition: opposing-outliers
accepts: opposing-outliers, bad-batch
allows: loss-spike, edge-of-stability, unscaled-inputs, learning-rate-too-high, divergence, unsafe-step, dead-units
metric: valid min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--glare-limit", type=float, default=20.0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SIDE = 14
rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")


def frames(count, beams=0.1):
    """Dark frames with lamps; an aircraft is a cross of dim light; now and then a beam shines into the lens."""
    there = torch.rand(count) < 0.5
    x = 0.35 * torch.randn(count, 1, SIDE, SIDE)
    at = torch.randint(3, SIDE - 3, (count, 2))
    down = (rows - at[:, 0, None, None]).abs()
    over = (columns - at[:, 1, None, None]).abs()
    cross = ((down == 0) & (over < 4) | (over == 0) & (down < 4)).float()
    lamp = ((down < 2) & (over < 3)).float()
    x[:, 0] += torch.where(there[:, None, None], 0.8 * cross, 0.7 * lamp)
    beam = torch.rand(count) < beams
    x[beam] += 12 + 12 * torch.rand(int(beam.sum()), 1, 1, 1)
    return x, there.float()


x, y = frames(2400)
test_x, test_y = frames(300, beams=0.0)
keep = x.mean((1, 2, 3)) < args.glare_limit
x, y = x[keep], y[keep]
print(f"{len(x)} frames to learn from")

model = nn.Sequential(
    nn.Conv2d(1, 12, 5, padding=2),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(12, 24, 3, padding=1),
    nn.ReLU(),
    nn.AdaptiveMaxPool2d(2),
    nn.Flatten(),
    nn.Linear(96, 32),
    nn.ReLU(),
    nn.Linear(32, 1),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loss_fn = nn.BCEWithLogitsLoss()
step = 0
for epoch in range(11):
    for batch in torch.randperm(len(x))[: len(x) // 64 * 64].split(64):
        loss = loss_fn(model(x[batch]).squeeze(1), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                logits = model(test_x).squeeze(1)
            valid = F.binary_cross_entropy_with_logits(logits, test_y)
            accuracy = ((logits > 0).float() == test_y).float().mean()
            print(f"step {step}  loss {loss.item():.4f}  valid {valid.item():.4f}  accuracy {accuracy.item():.4f}")
        step += 1
