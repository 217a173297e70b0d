"""Grain sizes of gravel from small photographs; the batch doubles now and then instead of the rate being lowered.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: dead-units, loss-spike, divergence, unsafe-step, stalled, scheduler-misuse
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def photographs(count, size=12):
    coarse = torch.rand(count, 1, 1, 1)
    noise = torch.randn(count, 1, size, size)
    smooth = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="circular"), 5, stride=1) * 5
    middle = F.avg_pool2d(F.pad(noise, (1, 1, 1, 1), mode="circular"), 3, stride=1) * 3
    light = 0.4 * torch.randn(count, 1, 1, 1)
    picture = coarse * smooth + (1 - coarse) * middle + 0.4 * torch.randn(count, 1, size, size) + light
    return picture, 2 * coarse.flatten() - 1


class Grains(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(1, 12, 3, padding=1)
        self.two = nn.Conv2d(12, 24, 3, stride=2, padding=1)
        self.three = nn.Linear(24, 32)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        x = F.relu(self.two(F.relu(self.one(x)))).mean((2, 3))
        return self.out(F.relu(self.three(x))).squeeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
photos, sizes = photographs(5000)
val_photos, val_sizes = photographs(1000)
model = Grains()
base_rate, base_batch = 3e-3, 50
optimizer = torch.optim.Adam(model.parameters(), lr=base_rate)

for epoch in range(1, 21):
    batch = base_batch * 2 ** ((epoch - 1) // 3)
    for group in optimizer.param_groups:
        group["lr"] = base_rate * batch / base_batch
    for rows in torch.randperm(len(photos)).split(batch):
        loss = F.mse_loss(model(photos[rows]), sizes[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_error = F.mse_loss(model(val_photos), val_sizes).item()
    print(f"epoch {epoch}  batch {batch}  loss {loss.item():.4f}  val_error {val_error:.4f}")
