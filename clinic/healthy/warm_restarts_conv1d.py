"""Three kinds of waves told apart by a small one-dimensional CNN whose rate restarts at its top every hundred steps.

condition: healthy
metric: loss min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

time = torch.linspace(0, 1, 48)


def get_batch(size=64):
    kind = torch.randint(3, (size,))
    angle = 2 * math.pi * (3 * time + torch.rand(size, 1))
    sine = torch.sin(angle)
    wave = torch.where(kind[:, None] == 0, sine, torch.where(kind[:, None] == 1, sine.sign(), torch.asin(sine) / 1.57))
    return (wave + 0.2 * torch.randn_like(wave)).unsqueeze(1), kind


model = nn.Sequential(
    nn.Conv1d(1, 16, 7, padding=3),
    nn.BatchNorm1d(16),
    nn.ReLU(),
    nn.MaxPool1d(2),
    nn.Conv1d(16, 16, 5, padding=2),
    nn.BatchNorm1d(16),
    nn.ReLU(),
    nn.AdaptiveAvgPool1d(1),
    nn.Flatten(),
    nn.Linear(16, 3),
)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=100)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 401):
    x, y = get_batch()
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
