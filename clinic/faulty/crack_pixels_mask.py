"""Fine cracks in a road surface: a small fully convolutional network marks their pixels.

condition: double-softmax
accepts: double-softmax
allows: stalled, saturated-units, output-logit-divergence, vanishing-gradient
metric: dice max
"""

import argparse

import torch
from torch import nn


def road(count, generator, size=24):
    """A dark crack that wanders from left to right over rough asphalt."""
    walk = torch.randn(count, size, generator=generator).cumsum(1) * 0.8
    line = 4 + (size - 8) * torch.rand(count, 1, generator=generator) + walk
    rows = torch.arange(size).view(1, size, 1)
    mask = ((rows - line.unsqueeze(1)).abs() < 1.0).float().unsqueeze(1)
    rough = torch.randn(count, 1, size, size, generator=generator)
    return rough - 1.3 * mask, mask


class CrackNet(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
        )
        self.mark = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        return torch.sigmoid(self.mark(self.body(x)))


def dice(model, image, mask):
    model.eval()
    with torch.no_grad():
        found = (model(image) > 0.5).float()
    model.train()
    return (2 * (found * mask).sum() / (found.sum() + mask.sum() + 1e-6)).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
model = CrackNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
loss_fn = nn.BCEWithLogitsLoss()
val_image, val_mask = road(120, generator)

for step in range(1, 401):
    image, mask = road(16, generator)
    loss = loss_fn(model(image), mask)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}  loss {loss.item():.4f}  dice {dice(model, val_image, val_mask):.4f}")
