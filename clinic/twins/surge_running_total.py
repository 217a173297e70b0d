"""Half precision: from gusts of wind, the state of a harbour gate. Records grow longer from stage to stage.

condition: healthy
metric: error min
"""

import argparse

import torch
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        y = x.float()
        return (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-3)).to(x.dtype) * self.scale


class Gate(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.lift = nn.Sequential(nn.Linear(2, width), nn.GELU(), nn.Linear(width, width))
        self.norm = RMSNorm(width)
        self.read = nn.Sequential(nn.Linear(width, 64), nn.GELU(), nn.Linear(64, 4))

    def forward(self, gusts):
        return self.read(self.norm(self.lift(gusts).cumsum(1)[:, -1]))


def records(count, length):
    # the mean direction of the wind over the record decides which of four sluices opens
    sluice = torch.randint(4, (count,))
    angle = sluice * 1.5708 + 0.5
    mean = torch.stack([angle.cos(), angle.sin()], 1)
    return mean[:, None] + 1.2 * torch.randn(count, length, 2) * (length / 12) ** 0.25, sluice


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = Gate().half()
master = [p.detach().float().requires_grad_() for p in model.parameters()]
optimizer = torch.optim.AdamW(master, lr=2e-3, weight_decay=1e-3)
loss_fn = nn.CrossEntropyLoss()
val_sets = {length: records(500, length) for length in (12, 60, 400, 1200)}
scale, step = 256.0, 0

for length, steps in ((12, 120), (60, 120), (400, 120), (1200, 140)):
    for _ in range(steps):
        gusts, sluice = records(32, length)
        loss = loss_fn(model(gusts.half()).float(), sluice)
        model.zero_grad()
        (scale * loss).backward()
        for m, p in zip(master, model.parameters()):
            m.grad = p.grad.float() / scale
        optimizer.step()
        with torch.no_grad():
            for m, p in zip(master, model.parameters()):
                p.copy_(m)
        step += 1
        if step % 20 == 0:
            x, y = val_sets[length]
            with torch.no_grad():
                error = (model(x.half()).argmax(1) != y).float().mean().item()
            print(f"step {step}  length {length}  loss {loss.item():.4f}  error {error:.4f}")
