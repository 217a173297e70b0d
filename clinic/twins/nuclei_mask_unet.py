"""Masks of cell nuclei in made-up microscope pictures, by a small U-net; one sigmoid a pixel.

condition: healthy
metric: iou max
"""

import argparse

import torch
from torch import nn

SIDE = 24


def slides(count):
    """Pictures with one to four bright discs on uneven ground, and the discs' masks."""
    axis = torch.arange(SIDE, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    centre = torch.rand(count, 4, 2) * SIDE
    radius = 1.5 + 2 * torch.rand(count, 4) - 10 * (torch.rand(count, 4) < 0.35) * torch.tensor([0.0, 1, 1, 1])
    distance = ((x - centre[..., :1, None]) ** 2 + (y - centre[..., 1:, None]) ** 2).sqrt()
    mask = (distance < radius[..., None, None]).any(1).float()
    ground = torch.rand(count, 1, 1) * x / SIDE + torch.rand(count, 1, 1) * y / SIDE
    return (ground + 0.8 * mask + 0.35 * torch.randn(count, SIDE, SIDE))[:, None], mask[:, None]


def double(inner, outer):
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1), nn.ReLU(), nn.Conv2d(outer, outer, 3, padding=1), nn.ReLU()
    )


class UNet(nn.Module):
    def __init__(self, base=8):
        super().__init__()
        self.top = double(1, base)
        self.bottom = double(base, 2 * base)
        self.pool = nn.MaxPool2d(2)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.merge = double(3 * base, base)
        self.head = nn.Conv2d(base, 1, 1)

    def forward(self, picture):
        fine = self.top(picture)
        coarse = self.bottom(self.pool(fine))
        return self.head(self.merge(torch.cat([fine, self.up(coarse)], 1)))


def intersection_over_union(output, mask):
    found = output > 0
    hit = (found & (mask > 0)).sum()
    return (hit / (found | (mask > 0)).sum().clamp_min(1)).item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pictures, masks = slides(600)
    test_pictures, test_masks = slides(100)
    model = UNet()
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
    step = 0
    for _ in range(8):
        for batch in torch.randperm(600).split(24):
            optimizer.zero_grad()
            loss = loss_fn(model(pictures[batch]), masks[batch])
            loss.backward()
            optimizer.step()
            step += 1
            if step % 10 == 0:
                with torch.no_grad():
                    iou = intersection_over_union(model(test_pictures), test_masks)
                print(f"step {step}  loss {loss.item():.4f}  iou {iou:.4f}")


if __name__ == "__main__":
    main()
