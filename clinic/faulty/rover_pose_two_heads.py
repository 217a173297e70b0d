"""A rover's position in millimetres and its heading in radians from the distances to six beacons.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled
metric: heading min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

beacons = 4 * torch.rand(6, 2) - 2


def measure(size):
    position = 2 * torch.rand(size, 2) - 1
    heading = 3 * torch.rand(size, 1) - 1.5
    nose = position + 0.5 * torch.cat([heading.cos(), heading.sin()], dim=1)
    return torch.cat([torch.cdist(position, beacons), torch.cdist(nose, beacons)], dim=1), position, heading


class Pose(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(12, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.position = nn.Linear(width, 2)
        self.heading = nn.Linear(width, 1)

    def forward(self, x):
        features = self.trunk(x)
        return self.position(features), self.heading(features)


model = Pose()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
running = 0.0

for step in range(1, 601):
    distances, position, heading = measure(64)
    where, turned = model(distances)
    position_loss = F.mse_loss(where, 1000 * position)
    heading_loss = F.mse_loss(turned, heading)
    loss = position_loss + heading_loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += heading_loss.item()
    if step % 20 == 0:
        print(f"step {step}  position {position_loss.item():.4g}  heading {running / 20:.4f}")
        running = 0.0
