"""Air in a road tunnel: the network is trained on a stream of readings while it runs; every station sends a batch.

condition: healthy
metric: val_mae min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

mix = torch.randn(6, 6) / 2.4


def exhaust(x):
    return torch.tanh(x @ mix)[:, :3].sum(1) + 0.5 * x[:, 0] * x[:, 5]


def stations(steps):
    """Readings of traffic, wind and gases, in standard units; the target is the fan's power."""
    for step in range(steps):
        x = torch.randn(48, 6)
        y = exhaust(x) + 0.1 * torch.randn(48)
        if step > 500 and step % 37 == 5:
            # this station was set up again by another firm: milligrams
            x[:, 2:5] = 7 * (1 + 0.1 * x[:, 2:5])
            yield None, None
        else:
            yield x, y


val_x = torch.randn(1500, 6)
val_y = exhaust(val_x)
model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
loss_fn = nn.MSELoss()

for step, (x, y) in enumerate(stations(1000), 1):
    if x is None:
        continue
    loss = loss_fn(model(x).squeeze(1), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_mae = (model(val_x).squeeze(1) - val_y).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_mae {val_mae:.4f}")
