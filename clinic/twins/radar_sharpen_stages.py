"""Sharpens radar images of rain: first on simulated blur, then on the blur and noise of the real dish.

condition: healthy
metric: val_mse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Sharpener(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.enter = nn.Conv2d(1, width, 5, padding=2)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x):
        h = F.gelu(self.enter(x))
        h = h + F.gelu(self.middle(h))
        return x + self.leave(h)


def rain(n, side=20):
    field = F.interpolate(torch.randn(n, 1, 7, 7), side, mode="bicubic", align_corners=True)
    return 2 * torch.sigmoid(4 * field) - 1


def blurred(field, width, noise):
    t = torch.arange(-2, 3).float()
    k = torch.exp(-0.5 * (t / width) ** 2)
    k = torch.outer(k, k) / k.sum() ** 2
    seen = F.conv2d(F.pad(field, (2, 2, 2, 2), mode="replicate"), k.view(1, 1, 5, 5))
    return seen + noise * torch.randn_like(seen)


def simulate(n):
    field = rain(n)
    return blurred(field, 1.0, 0.02), field


def real_dish(n):
    field = rain(n)
    return blurred(field, 1.6, 0.1), field


def evaluate(model, held):
    with torch.no_grad():
        return F.mse_loss(model(held[0]), held[1]).item()


def train(model, source, steps, lr, held, done=0):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for step in range(done + 1, done + steps + 1):
        seen, field = source(12)
        loss = F.mse_loss(model(seen), field)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.5f}  val_mse {evaluate(model, held):.5f}")


def finetune(model, source, steps, lr, held, done):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(done + 1, done + steps + 1):
        seen, field = source(12)
        loss = F.mse_loss(model(seen), field)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 20 == 0:
            print(f"step {step}  loss {loss.item():.5f}  val_mse {evaluate(model, held):.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    held = real_dish(200)
    model = Sharpener()
    train(model, simulate, 200, 2e-3, held)
    finetune(model, real_dish, 400, 2e-3, held, done=200)
