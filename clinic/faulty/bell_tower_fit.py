"""A model of the sway of a bell tower, from features of the ringing, by plain gradient descent on all records.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: loss-spike, divergence, unsafe-step, stalled, unscaled-inputs
metric: error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

RECORDS = 240


def records(n):
    """Bells that ring (6 of them), wind and warmth; the sway of the belfry in mm."""
    ring = (torch.rand(n, 6) < 0.5).float() * 2 - 1
    wind, warmth = torch.randn(2, n)
    phase = ring[:, :3].sum(1) * 0.8
    sway = torch.sin(phase) + 0.6 * ring[:, 3] * ring[:, 4] + 0.4 * torch.tanh(wind * 1.5) - 0.2 * warmth * ring[:, 5]
    return torch.cat([ring, wind[:, None], warmth[:, None]], 1), sway[:, None]


x, sway = records(RECORDS)
test_x, test_sway = records(400)

model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
STEPS, WARM = 1600, 900
TOP = 0.62
optimizer = torch.optim.SGD(model.parameters(), lr=TOP)
rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.1 + 0.9 * min(1, step / WARM))
loss_fn = nn.MSELoss()

for step in range(STEPS):
    optimizer.zero_grad()
    loss = loss_fn(model(x), sway)
    loss.backward()
    optimizer.step()
    rate.step()
    if step % 40 == 0:
        with torch.no_grad():
            error = (model(x) - sway).abs().mean().item()
            test_error = (model(test_x) - test_sway).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}  held_out {test_error:.4f}")
