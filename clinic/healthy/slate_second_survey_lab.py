"""Slate thickness: a network learns one quarry, then the next with a new optimiser and a slow start.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def quarry(n, tilt):
    x = torch.randn(n, 4)
    y = torch.sin(1.5 * x[:, 0] + tilt) + x[:, 1] * x[:, 2] * (0.7 - tilt) + 0.4 * x[:, 3].abs()
    return x, y.unsqueeze(1)


model = nn.Sequential(nn.Linear(4, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1))
loss_fn = nn.MSELoss()
step = 0
for tilt, peak in ((0.0, 3e-3), (1.2, 2e-3)):
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=600, pct_start=0.2)
    val_x, val_y = quarry(1000, 1.2)
    for _ in range(600):
        step += 1
        x, y = quarry(64, tilt)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            with torch.no_grad():
                val = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val:.4f}")
