"""The burning rate of candles is learned online: one row a step, as it is measured, with momentum and a low rate.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def measure(count):
    """Width, wax and draught, standardised, and the burning rate with the noise of a kitchen scale."""
    x = torch.randn(count, 3)
    width, wax, draught = x.unbind(1)
    rate = 0.7 * width - 0.5 * width * wax + 0.6 * torch.tanh(2 * draught) - 0.3 * draught.square()
    return x, (rate + 0.3 * torch.randn(count)).unsqueeze(1)


def candles(seconds):
    for _ in range(seconds):
        yield measure(1)


model = nn.Sequential(nn.Linear(3, 40), nn.Tanh(), nn.Linear(40, 40), nn.Tanh(), nn.Linear(40, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=2e-3, momentum=0.9)
loss_fn = nn.L1Loss()
val_x, val_y = measure(500)

for step, (x, y) in enumerate(candles(1500), start=1):
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()
    if step % 60 == 0:
        with torch.no_grad():
            val_error = (model(val_x) - val_y).square().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
