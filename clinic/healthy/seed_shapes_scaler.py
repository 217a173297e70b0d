"""Outlines of seeds of seven plants, described by their radius around the rim; float16, a large first scale,
cyclic rate.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

KINDS, ANGLES = 7, 48


def outlines(kinds, count):
    """Each kind has its own Fourier coefficients; seeds grow unevenly and lie in any position."""
    label = torch.randint(KINDS, (count,))
    order = torch.arange(1, 6).float()
    wave = kinds[label] * (1 + 0.2 * torch.randn(count, 5)) + 0.03 * torch.randn(count, 5)
    lag = 0.4 * torch.randn(count, 5)
    angle = torch.arange(ANGLES) * 2 * math.pi / ANGLES + 2 * math.pi * torch.rand(count, 1)
    radius = 1 + (wave.unsqueeze(2) * torch.cos(order.view(1, 5, 1) * angle.unsqueeze(1) + lag.unsqueeze(2))).sum(1)
    radius = radius * (0.8 + 0.4 * torch.rand(count, 1)) + 0.03 * torch.randn(count, ANGLES)
    return ((radius - 1) / 0.25).unsqueeze(1), label


class Ring(nn.Module):
    """Each angle looks at five angles around itself."""

    def __init__(self, inp, out, apart):
        super().__init__()
        self.shifts = [i * apart for i in range(-2, 3)]
        self.mix = nn.Linear(5 * inp, out)
        self.norm = nn.LayerNorm(out)

    def forward(self, x):
        around = torch.cat([x.roll(shift, 1) for shift in self.shifts], 2)
        return F.relu(self.norm(self.mix(around)))


class Rim(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.rings = nn.Sequential(Ring(1, width, 1), Ring(width, width, 2), Ring(width, width, 4))
        self.head = nn.Linear(width, KINDS)

    def forward(self, radius):
        return self.head(self.rings(radius.transpose(1, 2)).mean(1))


class Fitter:
    def __init__(self, train, val, epochs=20):
        self.loader = DataLoader(TensorDataset(*train), batch_size=50, shuffle=True, drop_last=True)
        self.val, self.epochs = val, epochs
        self.model = Rim()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**24, growth_interval=100)
        self.rate = torch.optim.lr_scheduler.CyclicLR(
            self.optimizer, 0.005, 0.1, step_size_up=50, mode="triangular2", cycle_momentum=False
        )

    def epoch(self):
        for outline, label in self.loader:
            with torch.autocast("cpu", torch.float16):
                loss = F.cross_entropy(self.model(outline), label)
            self.optimizer.zero_grad()
            self.scaler.scale(loss).backward()
            scale = self.scaler.get_scale()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.scaler.get_scale() >= scale:
                self.rate.step()
        return loss.item()

    @torch.no_grad()
    def val_error(self):
        return (self.model(self.val[0]).argmax(1) != self.val[1]).float().mean().item()

    def fit(self):
        for epoch in range(1, self.epochs + 1):
            loss = self.epoch()
            rate = self.optimizer.param_groups[0]["lr"]
            print(f"epoch {epoch}  lr {rate:.4f}  loss {loss:.4f}  val_error {self.val_error():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    kinds = torch.randn(KINDS, 5) * torch.tensor([0.10, 0.16, 0.14, 0.10, 0.08])
    Fitter(outlines(kinds, 1000), outlines(kinds, 500)).fit()
