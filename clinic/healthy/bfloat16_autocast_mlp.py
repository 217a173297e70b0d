"""Two interleaved spirals, learned under bfloat16 autocast with a residual MLP and AdamW.

condition: healthy
metric: loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

side = torch.randint(2, (2000,))
turn = 0.5 + 3.5 * torch.rand(2000)
angle = turn * 1.6 + math.pi * side
points = torch.stack([angle.cos(), angle.sin()], dim=1) * turn[:, None] / 2 + 0.03 * torch.randn(2000, 2)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


model = nn.Sequential(nn.Linear(2, 48), Block(48), Block(48), nn.LayerNorm(48), nn.Linear(48, 2))
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

running = 0.0
for step in range(1, 301):
    batch = torch.randint(len(points), (128,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(points[batch])
        loss = F.cross_entropy(logits, side[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
