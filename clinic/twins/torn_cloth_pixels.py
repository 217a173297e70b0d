"""Torn threads of a tapestry are marked pixel by pixel; an encoder taught before is tuned with the new decoder.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

EPOCHS, WARM = 24, 4


class ThreadNet(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 5, padding=2), nn.ReLU(), nn.Conv2d(width, width, 3, stride=2, padding=1), nn.ReLU()
        )
        self.decoder = nn.Sequential(nn.Conv2d(width + 1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def forward(self, x):
        up = F.interpolate(self.encoder(x), scale_factor=2, mode="nearest")
        return self.decoder(torch.cat([up, x], 1))


def cloth(count, angle, size=20):
    g = torch.arange(size).float()
    y, x = torch.meshgrid(g, g, indexing="ij")
    a = angle + 0.2 * torch.randn(count, 1, 1)
    weave = 0.6 * torch.sin(1.8 * (x * a.cos() + y * a.sin()) + 6.28 * torch.rand(count, 1, 1))
    centre = size * torch.rand(count, 2, 1, 1)
    spread = 4 + 8 * torch.rand(count, 1, 1)
    torn = (x - centre[:, :1, 0]) ** 2 + (y - centre[:, 1:, 0]) ** 2 < spread
    across = 0.6 * torch.sin(1.8 * (y * a.cos() - x * a.sin()) + 6.28 * torch.rand(count, 1, 1))
    image = torch.where(torn, across, weave) + 0.25 * torch.randn(count, size, size)
    return image.unsqueeze(1), torn.float().unsqueeze(1)


def decoder_rate(epoch):
    return 0.5 * (1 + math.cos(math.pi * epoch / EPOCHS))


def encoder_rate(epoch):
    return min(1.0, max(0, epoch - WARM) / WARM) * decoder_rate(epoch)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = ThreadNet()
loss_fn = nn.BCEWithLogitsLoss()
old = torch.optim.Adam(model.parameters(), lr=2e-3)
for _ in range(40):
    image, torn = cloth(16, 0.0)
    loss = loss_fn(model(image), torn)
    old.zero_grad()
    loss.backward()
    old.step()

images, masks = cloth(320, 0.9)
val_images, val_masks = cloth(100, 0.9)
optimizer = torch.optim.Adam([{"params": model.encoder.parameters()}, {"params": model.decoder.parameters()}], lr=2e-3)
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, [encoder_rate, decoder_rate])
for epoch in range(EPOCHS):
    for rows in torch.randperm(len(images)).split(16):
        loss = loss_fn(model(images[rows]), masks[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    schedule.step()
    with torch.no_grad():
        val_loss = loss_fn(model(val_images), val_masks).item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
