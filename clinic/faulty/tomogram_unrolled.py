"""Slices from few projections: gradient steps of the data term and small networks in turn, with more steps every stage.

condition: exploding-gradient
accepts: exploding-gradient
allows: non-finite, divergence, loss-spike, learning-rate-too-high, unsafe-step, off-critical-initialisation,
  dead-units, bptt-explosion, low-precision-overflow, unscaled-inputs, stalled
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

SIDE = 16


def projector(angles=6):
    """Strip integrals through a square slice, one row for each ray."""
    r = torch.arange(SIDE) - (SIDE - 1) / 2
    y, x = torch.meshgrid(r, r, indexing="ij")
    rows = []
    for k in range(angles):
        a = math.pi * k / angles
        s = x * math.cos(a) + y * math.sin(a)
        for ray in r:
            rows.append((1 - (s - ray).abs()).clamp(min=0).reshape(-1))
    return torch.stack(rows) / math.sqrt(SIDE)


def slices(n, gen):
    r = torch.linspace(-1, 1, SIDE)
    y, x = r.view(1, -1, 1), r.view(1, 1, -1)
    image = torch.zeros(n, SIDE, SIDE)
    for _ in range(4):
        cy, cx = (1.2 * torch.rand(2, n, 1, 1, generator=gen) - 0.6).unbind(0)
        ry, rx = (0.15 + 0.35 * torch.rand(2, n, 1, 1, generator=gen)).unbind(0)
        level = torch.randn(n, 1, 1, generator=gen)
        image += level * ((((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2) < 1)
    return image


class Unrolled(nn.Module):
    def __init__(self, matrix, deepest=10, c=12):
        super().__init__()
        self.register_buffer("a", matrix)
        self.register_buffer("step", torch.tensor(1.0))
        self.fixes = nn.ModuleList(
            nn.Sequential(nn.Conv2d(1, c, 3, padding=1), nn.ReLU(), nn.Conv2d(c, 1, 3, padding=1))
            for _ in range(deepest)
        )
        for fix in self.fixes:
            nn.init.zeros_(fix[2].weight)
            nn.init.zeros_(fix[2].bias)

    def forward(self, measured, depth):
        image = measured.new_zeros(len(measured), SIDE * SIDE)
        for fix in self.fixes[:depth]:
            image = image - self.step * (image @ self.a.T - measured) @ self.a
            square = image.view(-1, 1, SIDE, SIDE)
            image = (square + fix(square)).flatten(1)
        return image.view(-1, SIDE, SIDE)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    matrix = projector()

    def scans(n):
        image = slices(n, gen)
        clean = image.flatten(1) @ matrix.T
        return clean + 0.03 * torch.randn(clean.shape, generator=gen), image

    val_measured, val_image = scans(200)
    model, loss_fn = Unrolled(matrix), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, 401):
        depth = min(10, 1 + step // 40)
        measured, image = scans(16)
        loss = loss_fn(model(measured, depth), image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                val_error = loss_fn(model(val_measured, depth), val_image).item()
            print(f"step {step}  depth {depth}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
