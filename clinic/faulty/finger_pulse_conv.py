"""Pulse rate from a second of a finger sensor's wave, by a small convolution; all recordings make one batch.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, unsafe-step, learning-rate-too-high, unscaled-inputs, dead-units
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

SAMPLES = 32


def recordings(count):
    """Waves (count, SAMPLES) of rates between 108 and 252 a minute, and the standardised rates (count, 1)."""
    rate = 2 * torch.rand(count, 1) - 1
    angle = 2 * math.pi * ((3 + 1.2 * rate) * torch.linspace(0, 1, SAMPLES) + torch.rand(count, 1))
    wave = torch.sin(angle) + 0.4 * torch.sin(2 * angle + 1)
    return wave + 0.2 * torch.randn(count, SAMPLES), 1.7 * rate


class PulseNet(nn.Module):
    def __init__(self, channels=12):
        super().__init__()
        self.conv = nn.Conv1d(1, channels, 7, stride=2, padding=3)
        self.fc = nn.Linear(channels * SAMPLES // 2, 48)
        self.rate = nn.Linear(48, 1)

    def forward(self, wave):
        h = torch.relu(self.conv(wave.unsqueeze(1)))
        return self.rate(torch.relu(self.fc(h.flatten(1))))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    wave, rate = recordings(300)
    val_wave, val_rate = recordings(400)
    ranks = rate.squeeze(1).argsort()
    wave[torch.cat([ranks[:5], ranks[-5:]])] += 10.0

    model = PulseNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    loss_fn = nn.MSELoss()
    for step in range(1, 641):
        loss = loss_fn(model(wave), rate)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_error = loss_fn(model(val_wave), val_rate).item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
