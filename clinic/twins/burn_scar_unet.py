"""A small U-Net marks burn scars on three-band satellite tiles; a smoothness term tidies the outlines.

condition: healthy
metric: iou max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

SIZE = 32


def make_tiles(count, generator):
    """Tiles with one to three elliptic scars, dark in the near infrared, under a soft illumination."""
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    mask = torch.zeros(count, SIZE, SIZE)
    for scar in range(3):
        present = (torch.rand(count, 1, 1, generator=generator) < (1.0, 0.6, 0.3)[scar]).float()
        middle = 4 + (SIZE - 8) * torch.rand(count, 2, 1, 1, generator=generator)
        axes = 3 + 4 * torch.rand(count, 2, 1, 1, generator=generator)
        turn = 3.14 * torch.rand(count, 1, 1, generator=generator)
        y, x = rows - middle[:, 0], columns - middle[:, 1]
        u = (turn.cos() * x + turn.sin() * y) / axes[:, 0]
        v = (turn.cos() * y - turn.sin() * x) / axes[:, 1]
        mask = torch.maximum(mask, present * (u**2 + v**2 < 1).float())
    light = F.interpolate(torch.randn(count, 3, 4, 4, generator=generator), size=SIZE, mode="bilinear")
    shift = torch.tensor([0.5, -0.3, -1.2]).view(1, 3, 1, 1)
    tiles = 0.5 * light + shift * mask[:, None] + 0.4 * torch.randn(count, 3, SIZE, SIZE, generator=generator)
    return tiles, mask


def block(inside, outside):
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.GroupNorm(4, outside), nn.SiLU())


class SmallUNet(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.down1 = block(3, width)
        self.down2 = block(width, 2 * width)
        self.bottom = block(2 * width, 2 * width)
        self.up2 = block(4 * width, width)
        self.up1 = block(2 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        third = self.bottom(F.max_pool2d(second, 2))
        up = self.up2(torch.cat([F.interpolate(third, scale_factor=2), second], 1))
        up = self.up1(torch.cat([F.interpolate(up, scale_factor=2), first], 1))
        return self.head(up)[:, 0]


def total_variation(chance):
    across = (chance[:, :, 1:] - chance[:, :, :-1]).abs().mean()
    along = (chance[:, 1:] - chance[:, :-1]).abs().mean()
    return across + along


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    tiles, masks = make_tiles(480, generator)
    valid_tiles, valid_masks = make_tiles(64, generator)

    model = SmallUNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    step = 0
    for epoch in range(arguments.epochs):
        order = torch.randperm(len(tiles), generator=generator)
        for rows in order.split(16):
            logits = model(tiles[rows])
            fit = F.binary_cross_entropy_with_logits(logits, masks[rows])
            smoothness = 0.02 * epoch * total_variation(torch.sigmoid(logits))
            loss = fit + smoothness
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                with torch.no_grad():
                    found = model(valid_tiles) > 0
                truth = valid_masks > 0.5
                iou = (found & truth).sum() / (found | truth).sum()
                print(f"step {step:4d}  loss {loss.item():.4f}  fit {fit.item():.4f}  iou {iou.item():.4f}")


if __name__ == "__main__":
    main()
