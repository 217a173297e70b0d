"""Gated dilated convolutions over a noisy sum of two tones: how many beats does it make?

condition: vanishing-gradient
accepts: vanishing-gradient, off-critical-initialisation
allows: stalled, learning-rate-too-low, epsilon-dominated-update
metric: val_loss min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

CHANNELS, LENGTH, DILATIONS = 24, 96, (1, 2, 4, 8, 16) * 2


class GatedUnit(nn.Module):
    def __init__(self, dilation):
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, 2 * CHANNELS, 3, padding=dilation, dilation=dilation)

    def forward(self, x):
        value, gate = self.conv(x).chunk(2, dim=1)
        return torch.tanh(value) * torch.sigmoid(gate)


class BeatNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lift = nn.Conv1d(1, CHANNELS, 1)
        self.units = nn.ModuleList(GatedUnit(d) for d in DILATIONS)
        self.readout = nn.Linear(CHANNELS, 1)

    def forward(self, wave):
        x = self.lift(wave.unsqueeze(1))
        for unit in self.units:
            x = unit(x)
        return self.readout(x.square().mean(2)).squeeze(1)


def record(count):
    t = torch.linspace(0, 1, LENGTH)
    base = 8 + 4 * torch.rand(count, 1)
    beat = 0.5 + 4 * torch.rand(count, 1)
    phase = 2 * math.pi * torch.rand(count, 2)
    wave = torch.sin(2 * math.pi * base * t + phase[:, :1])
    wave = wave + torch.sin(2 * math.pi * (base + beat) * t + phase[:, 1:])
    return wave + 0.2 * torch.randn(count, LENGTH), (beat.squeeze(1) - 2.5) / 1.15


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = BeatNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    loss_fn = F.smooth_l1_loss
    val_wave, val_target = record(256)
    for step in range(1, 221):
        wave, target = record(20)
        loss = loss_fn(model(wave), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_wave), val_target)
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")


main()
