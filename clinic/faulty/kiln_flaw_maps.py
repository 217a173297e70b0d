"""Maps of flaws on glazed tiles: a small convolutional network marks each pixel; flaws are rare, so the bias is set low.

condition: dead-units
accepts: dead-units
allows: stalled, vanishing-gradient, off-critical-initialisation, learning-rate-too-low, frozen-parameters
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn


def build(prior=0.05):
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=2, dilation=2),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 1, 1),
    )
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, nonlinearity="relu")
            nn.init.constant_(m.bias, -math.log((1 - prior) / prior))
    return model


def tiles(n, side=20):
    glaze = F.interpolate(torch.randn(n, 1, 5, 5), side, mode="bilinear", align_corners=True)
    centre = torch.rand(n, 2, 1, 1) * side
    grid = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).float()
    far = (grid - centre).square().sum(1, keepdim=True).sqrt()
    flaw = (far < 1.5 + 2 * torch.rand(n, 1, 1, 1)).float()
    image = glaze + 1.2 * flaw * torch.sin(9 * far) + 0.3 * torch.randn(n, 1, side, side)
    return image / 0.8, flaw


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
val_image, val_flaw = tiles(150)
model = build()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
for step in range(1, 401):
    image, flaw = tiles(16)
    loss = F.binary_cross_entropy_with_logits(model(image), flaw)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = F.binary_cross_entropy_with_logits(model(val_image), val_flaw).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
