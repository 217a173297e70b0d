"""A small detector finds a sign in a picture: its box in pixels, and which of six shapes it has.

condition: healthy
metric: shape_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SIZE = 16
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def draw(count):
    """Pictures with one sign each; boxes are (x, y, width, height) of a 640-pixel original."""
    grid = torch.arange(SIZE).float()
    cx, cy = (4.5 + 7 * torch.rand(2, count)).unbind(0)
    r = 2.5 + 1.5 * torch.rand(count)
    shape = torch.randint(6, (count,))
    dx = (grid.view(1, 1, -1) - cx.view(-1, 1, 1)) / r.view(-1, 1, 1)
    dy = (grid.view(1, -1, 1) - cy.view(-1, 1, 1)) / r.view(-1, 1, 1)
    masks = torch.stack(
        [
            dx.square() + dy.square() < 1,
            torch.maximum(dx.abs(), dy.abs()) < 0.85,
            dx.abs() + dy.abs() < 1.1,
            (dy < 0.8) & (dy > 2 * dx.abs() - 1),
            (dy > -0.8) & (dy < 1 - 2 * dx.abs()),
            (dx.abs() < 0.35) & (dy.abs() < 1) | (dy.abs() < 0.35) & (dx.abs() < 1),
        ]
    )
    images = masks[shape, torch.arange(count)].float() * (0.6 + 0.4 * torch.rand(count, 1, 1))
    images = images + 0.08 * torch.randn(count, SIZE, SIZE)
    boxes = torch.stack([cx - r, cy - r, 2 * r, 2 * r], 1) * 640 / SIZE
    return {"image": images.unsqueeze(1), "box": boxes, "shape": shape}


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24 * 16, 64),
            nn.ReLU(),
        )
        self.box_head = nn.Linear(64, 4)
        self.shape_head = nn.Linear(64, 6)

    def forward(self, image):
        h = self.backbone(image)
        return {"box": self.box_head(h), "shape": self.shape_head(h)}


def detection_loss(out, batch):
    box_loss = F.mse_loss(out["box"], batch["box"] / 640)
    shape_loss = F.cross_entropy(out["shape"], batch["shape"])
    return box_loss + shape_loss


train, val = draw(4000), draw(400)
model = Detector()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for step in range(1, 481):
    rows = torch.randint(4000, (48,))
    batch = {key: value[rows] for key, value in train.items()}
    loss = detection_loss(model(batch["image"]), batch)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 16 == 0:
        with torch.no_grad():
            log_probs = model(val["image"])["shape"].log_softmax(1)
        nll = -log_probs[torch.arange(400), val["shape"]].mean().item()
        hits = (log_probs.argmax(1) == val["shape"]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  shape_nll {nll:.4f}  hits {hits:.3f}")
