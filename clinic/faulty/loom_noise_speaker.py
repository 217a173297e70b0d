"""Which of 48 looms is heard? Mean cepstra of a second of noise go through a residual network.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient, softmax-collapse
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.a, self.b = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.b(F.gelu(self.a(self.norm(x))))


class LoomNet(nn.Module):
    def __init__(self, cepstra, looms, shifts, width=64):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(cepstra, width), Block(width), Block(width), nn.LayerNorm(width))
        self.loom = nn.Linear(width, looms)
        self.shift = nn.Linear(width, shifts)

    def forward(self, x):
        h = self.trunk(x)
        return F.softmax(self.loom(h), dim=-1), self.shift(h)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

looms, cepstra = 48, 20
voices = torch.randn(looms, cepstra)
drift = torch.randn(3, cepstra)


def record(count):
    loom, shift = torch.randint(looms, (count,)), torch.randint(3, (count,))
    x = voices[loom] + 0.7 * drift[shift] + 0.75 * torch.randn(count, cepstra)
    return x / 1.3, loom, shift


train_x, train_loom, train_shift = record(6000)
val_x, val_loom, val_shift = record(1500)
model = LoomNet(cepstra, looms, 3)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 750)
loss_fn = nn.CrossEntropyLoss()

step = 0
for epoch in range(8):
    for rows in torch.randperm(6000).split(64):
        loom, shift = model(train_x[rows])
        loss = loss_fn(loom, train_loom[rows]) + 0.5 * loss_fn(shift, train_shift[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        step += 1
        if step % 25 == 0:
            model.eval()
            with torch.no_grad():
                loom, shift = model(val_x)
                val_loss = loss_fn(loom, val_loom).item()
            val_error = (loom.argmax(1) != val_loom).float().mean().item()
            model.train()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}  val_error {val_error:.3f}")
