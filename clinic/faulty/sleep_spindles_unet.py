"""Where are the spindles in a night's brain waves? A one-dimensional U-Net marks every sample of the trace.

condition: double-softmax
accepts: double-softmax
allows: stalled, learning-rate-too-low, vanishing-gradient, saturated-units, softmax-collapse
metric: dice max
"""

import argparse
import math

import torch
from torch import nn


def traces(count, generator, length=128):
    t = torch.arange(length).float()
    slow = torch.sin(2 * math.pi * (t / 60 + torch.rand(count, 1, generator=generator)))
    x = 0.8 * slow + 0.6 * torch.randn(count, length, generator=generator)
    mask = torch.zeros(count, length)
    for _ in range(2):
        centre = torch.rand(count, 1, generator=generator) * length
        width = 8 + 8 * torch.rand(count, 1, generator=generator)
        here = torch.rand(count, 1, generator=generator) < 0.25
        bell = torch.exp(-(((t - centre) / width) ** 2)) * here
        x = x + 1.6 * bell * torch.sin(2 * math.pi * (t - centre) / 6)
        mask = torch.maximum(mask, (bell > 0.4).float())
    return x[:, None], mask[:, None]


def double(i, o):
    return nn.Sequential(
        nn.Conv1d(i, o, 5, padding=2),
        nn.BatchNorm1d(o),
        nn.ReLU(),
        nn.Conv1d(o, o, 5, padding=2),
        nn.BatchNorm1d(o),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, w=10):
        super().__init__()
        self.down1, self.down2, self.bottom = double(1, w), double(w, 2 * w), double(2 * w, 4 * w)
        self.up2, self.up1 = double(6 * w, 2 * w), double(3 * w, w)
        self.pool, self.grow = nn.MaxPool1d(2), nn.Upsample(scale_factor=2)
        self.out = nn.Conv1d(w, 1, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(self.pool(a))
        c = self.bottom(self.pool(b))
        b = self.up2(torch.cat([self.grow(c), b], 1))
        a = self.up1(torch.cat([self.grow(b), a], 1))
        return torch.sigmoid(self.out(a))


def dice_score(marked, mask):
    return (2 * (marked * mask).sum() / (marked.sum() + mask.sum() + 1e-6)).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = traces(200, generator)
    model = UNet()
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 300)
    for step in range(1, 301):
        model.train()
        x, y = traces(24, generator)
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 15 == 0:
            model.eval()
            with torch.no_grad():
                marked = (model(x_val) > 0.5).float()
            print(f"step {step}  loss {loss.item():.4f}  dice {dice_score(marked, y_val):.4f}")


if __name__ == "__main__":
    main()
