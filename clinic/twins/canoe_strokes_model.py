"""Pull of a paddle over a stroke, from the strains on its shaft: curves in, curves out, in bfloat16.

condition: healthy
metric: val_mae min
"""

import argparse
import math

import torch
from torch import nn

POINTS = 96


class Strokes:
    """Made paddle strokes: the pull (in kN) and four strain gauges (standardised) that see it."""

    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)
        mix = torch.Generator().manual_seed(1234)
        self.mix = torch.randn(8, POINTS, generator=mix) / math.sqrt(8)

    def draw(self, n):
        t = torch.linspace(0, 1, POINTS)
        a = torch.rand(n, 4, generator=self.g)
        catch, width = 0.2 + 0.2 * a[:, :1], 0.1 + 0.1 * a[:, 1:2]
        pull = (0.5 + a[:, 2:3]) * torch.exp(-(((t - catch) / width) ** 2))
        pull = pull + 0.5 * a[:, 3:4] * torch.exp(-(((t - catch - 0.35) / 0.12) ** 2))
        strain = torch.cat([pull[:, ::6], pull[:, ::6].pow(2)], 1) + 0.02 * torch.randn(n, 32, generator=self.g)
        return (strain - 0.25) / 0.4, pull


class CurveNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(32, 128)
        self.mid = nn.ModuleList(nn.Linear(128, 128) for _ in range(2))
        self.leave = nn.Linear(128, POINTS)
        nn.init.normal_(self.leave.weight, std=0.05)

    def forward(self, x):
        h = torch.nn.functional.silu(self.enter(x))
        for layer in self.mid:
            h = h + torch.nn.functional.silu(layer(h))
        return self.leave(h)


def main(seed, steps=1200, batch=128):
    torch.manual_seed(seed)
    data = Strokes(seed)
    val_x, val_y = data.draw(1000)
    model = CurveNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, betas=(0.9, 0.99))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        x, y = data.draw(batch)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            prediction = model(x)
        loss = nn.functional.mse_loss(prediction.float(), y)
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 60 == 0:
            with torch.no_grad():
                mae = (model(val_x.to(model.leave.weight.dtype)).float() - val_y).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  val_mae {mae:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
