"""Two kinds of pheasant calls told apart from short crops of few recordings by a 1-D convolutional network.

condition: overfitting
accepts: overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
T = torch.arange(96) / 96


def calls(n):
    kind = torch.randint(2, (n,))
    pitch = 6 + 3 * torch.rand(n, 1) + 2.0 * kind.unsqueeze(1)
    bend = 3 * torch.rand(n, 1)
    x = torch.sin(6.283 * (pitch * T + bend * T**2 + torch.rand(n, 1)))
    return x, kind


def crop(x):
    return (x + 0.7 * torch.randn(x.shape)).unsqueeze(1)


x, y = calls(60)
x = crop(x)
val_x, val_y = calls(1000)
val_x = crop(val_x)
model = nn.Sequential(
    nn.Conv1d(1, 16, 9, stride=2, padding=4),
    nn.ReLU(),
    nn.Conv1d(16, 32, 9, stride=2, padding=4),
    nn.ReLU(),
    nn.AdaptiveAvgPool1d(6),
    nn.Flatten(),
    nn.Linear(192, 64),
    nn.ReLU(),
    nn.Linear(64, 2),
)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400, eta_min=1e-5)
for step in range(1, 401):
    rows = torch.randint(len(x), (32,))
    loss = F.cross_entropy(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = F.cross_entropy(model(val_x), val_y).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
