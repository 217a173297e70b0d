"""Distances between states of a lock gate, embedded so that they match the time from one to the other; AMP.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def state(hour):
    return torch.stack([torch.sin(hour), torch.cos(2 * hour), torch.sin(3 * hour + 1), hour / 3], 1)


def pairs(n, far, still):
    a = far * torch.rand(n)
    b = far * torch.rand(n)
    b = torch.where(torch.rand(n) < still, a, b)
    return state(a), state(b), (a - b).abs()


model = nn.Sequential(nn.Linear(4, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 8))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
val = pairs(1000, 6.0, 0.1)


def distance(a, b):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        gap = model(a) - model(b)
    return (gap.float().square().sum(1) + 1e-6).sqrt()


for step in range(1, 901):
    a, b, hours = pairs(64, *((2.5, 0.0) if step <= 350 else (6.0, 0.1)))
    loss = nn.functional.smooth_l1_loss(distance(a, b), hours)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    if step % 30 == 0:
        with torch.no_grad():
            error = (distance(val[0], val[1]) - val[2]).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {error:.4f}")
