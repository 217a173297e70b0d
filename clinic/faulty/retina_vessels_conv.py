"""Arteries and veins in a fundus image, pixel by pixel; after one camera's pictures come those of a second.

condition: double-softmax
accepts: double-softmax
allows: stalled, saturated-units, softmax-collapse, divergence, loss-spike, naive-loss-minimisation, vanishing-gradient
metric: val_nll min
"""

import argparse

import torch
from torch import nn

SIDE = 24


def fundus(n, gen, second):
    """Two bent vessels: the artery is thin and bright, the vein wide and dark; haze and noise depend on the camera."""
    r = torch.arange(SIDE, dtype=torch.float32)
    y, x = r.view(1, SIDE, 1), r.view(1, 1, SIDE)
    image = torch.randn(n, 1, 1, generator=gen) * 0.3 + torch.zeros(n, SIDE, SIDE)
    label = torch.zeros(n, SIDE, SIDE, dtype=torch.long)
    for kind, (width, depth) in enumerate([(1.2, 1.0), (2.2, 1.6)], start=1):
        a = 0.6 * torch.randn(n, 1, 1, generator=gen)
        b = SIDE * (0.15 + 0.7 * torch.rand(n, 1, 1, generator=gen))
        c = 0.03 * torch.randn(n, 1, 1, generator=gen)
        off = y - b - a * (x - SIDE / 2) - c * (x - SIDE / 2) ** 2
        image = image - depth * torch.exp(-((off / width) ** 2))
        label = torch.where(off.abs() < width, torch.full_like(label, kind), label)
    if second:
        haze = torch.randn(n, 2, 1, 1, generator=gen)
        image = -0.8 * image + 0.05 * haze[:, 0] * (x - SIDE / 2) + 0.05 * haze[:, 1] * (y - SIDE / 2)
    noise = 0.45 if second else 0.3
    return (image + noise * torch.randn(n, SIDE, SIDE, generator=gen)).unsqueeze(1), label


class VesselNet(nn.Module):
    def __init__(self, c=16):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, c, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(c, c, 3, padding=4, dilation=4),
            nn.ReLU(),
            nn.Conv2d(c, 3, 1),
            nn.Softmax(dim=1),
        )

    def forward(self, image):
        return self.body(image)


def nll(probability, label):
    return nn.functional.nll_loss(torch.log(probability + 1e-7), label)


def train(model, loss_fn, second, steps, start, gen, val):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=2e-4)
    for step in range(start + 1, start + steps + 1):
        image, label = fundus(12, gen, second)
        loss = loss_fn(model(image), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_nll = nll(model(val[0]), val[1]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val = fundus(60, gen, True)
    model = VesselNet()
    train(model, nll, False, 160, 0, gen, val)
    train(model, nn.CrossEntropyLoss(), True, 260, 160, gen, val)
