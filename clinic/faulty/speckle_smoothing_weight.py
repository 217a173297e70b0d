"""Radar pictures freed of their speckle: a small residual network, with a price on the total variation of its output.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: divergence, stalled, dead-units
metric: psnr max
"""

import argparse

import torch
from torch import nn

EPOCHS, PER_EPOCH, SIZE = 30, 20, 20


def scenes(count, generator):
    """Fields and a few bright ships; the speckle multiplies."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, SIZE), torch.linspace(-1, 1, SIZE), indexing="ij")
    clean = torch.full((count, SIZE, SIZE), 0.3)
    for _ in range(5):
        n = torch.randn(count, 2, 1, 1, generator=generator)
        offset = torch.rand(count, 1, 1, generator=generator) - 0.5
        level = 0.25 * torch.rand(count, 1, 1, generator=generator)
        clean = clean + level * ((n[:, 0] * x + n[:, 1] * y) > offset)
    spots = (torch.rand(count, SIZE, SIZE, generator=generator) < 0.02).float()
    clean = (clean + 0.6 * spots).clamp(0, 1.5)
    speckle = 1 + 0.3 * torch.randn(count, SIZE, SIZE, generator=generator)
    return (clean * speckle).unsqueeze(1), clean.unsqueeze(1)


class Cleaner(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, x):
        return x + self.net(x - 0.7)


def variation(image):
    return (image[..., 1:] - image[..., :-1]).abs().mean() + (image[..., 1:, :] - image[..., :-1, :]).abs().mean()


def psnr(out, clean):
    return -10 * torch.log10((out - clean).pow(2).mean()).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
val_noisy, val_clean = scenes(80, generator)
model = Cleaner()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
for epoch in range(1, EPOCHS + 1):
    price = 0.01 * epoch
    for _ in range(PER_EPOCH):
        noisy, clean = scenes(16, generator)
        out = model(noisy)
        loss = (out - clean).pow(2).mean() + price * variation(out)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        print(f"epoch {epoch}  loss {loss.item():.4f}  psnr {psnr(model(val_noisy), val_clean):.3f}")
