"""Focal length of a thin lens from its two radii of curvature and its thickness, all given in metres.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: stalled, learning-rate-too-low
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

radii = 2e-4 + 8e-4 * torch.rand(4000, 2)
thickness = 2e-4 * torch.rand(4000, 1)
index = 1.5
power = (index - 1) * (1 / radii.sum(1, keepdim=True) + (index - 1) * thickness / (index * radii.prod(1, keepdim=True)))
x = torch.cat([radii, thickness], dim=1)
y = (power - power.mean()) / power.std()

model = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.SmoothL1Loss()

running = 0.0
for step in range(1, 501):
    batch = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  loss {running / 20:.4f}")
        running = 0.0
