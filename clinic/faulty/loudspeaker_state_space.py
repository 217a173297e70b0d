"""A loudspeaker's cone is identified from voltage and movement: two diagonal state-space layers with a gated mixer.

condition: always-clipping
accepts: always-clipping
allows: stalled, edge-of-stability
metric: val_error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

LENGTH = 128


def record(count):
    """A resonant second-order system with a stiffening spring, driven by a few tones."""
    t = torch.arange(LENGTH).float()
    freq = 0.03 + 0.25 * torch.rand(count, 3, 1)
    drive = (torch.rand(count, 3, 1) * torch.sin(2 * math.pi * (freq * t + torch.rand(count, 3, 1)))).sum(1)
    position, speed, seen = torch.zeros(count), torch.zeros(count), []
    for step in range(LENGTH):
        force = drive[:, step] - 0.25 * position - 0.08 * position**3 - 0.25 * speed
        speed = speed + force
        position = position + 0.5 * speed
        seen.append(position)
    return drive.unsqueeze(-1), torch.stack(seen, 1).unsqueeze(-1)


class DiagonalSSM(nn.Module):
    def __init__(self, width, states=8):
        super().__init__()
        self.log_decay = nn.Parameter(torch.log(torch.linspace(0.02, 0.4, states)).repeat(width, 1))
        self.angle = nn.Parameter(torch.linspace(0.05, 1.5, states).repeat(width, 1))
        self.weight = nn.Parameter(torch.randn(width, states, 2) / states)
        self.skip = nn.Parameter(torch.ones(width))

    def forward(self, u):
        t = torch.arange(u.shape[1])
        rate = torch.complex(-self.log_decay.exp(), self.angle)
        kernel = (torch.view_as_complex(self.weight).unsqueeze(-1) * torch.exp(rate.unsqueeze(-1) * t)).sum(1).real
        spectrum = torch.fft.rfft(u.transpose(1, 2), n=2 * LENGTH) * torch.fft.rfft(kernel, n=2 * LENGTH)
        return torch.fft.irfft(spectrum, n=2 * LENGTH)[..., :LENGTH].transpose(1, 2) + self.skip * u


class Cone(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.inp = nn.Linear(1, width)
        self.ssm = nn.ModuleList([DiagonalSSM(width) for _ in range(2)])
        self.mix = nn.ModuleList([nn.Linear(width, 2 * width) for _ in range(2)])
        self.out = nn.Linear(width, 1)

    def forward(self, drive):
        x = self.inp(drive)
        for ssm, mix in zip(self.ssm, self.mix, strict=False):
            x = x + F.glu(mix(F.gelu(ssm(x))), dim=-1)
        return self.out(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    drive, cone = record(1200)
    cone = cone / cone.std()
    held = slice(1000, 1200)
    model = Cone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scale = cone[held].std().item()
    for step in range(1, 601):
        rows = torch.randint(1000, (32,))
        loss = F.mse_loss(model(drive[rows]), cone[rows], reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                error = F.mse_loss(model(drive[held]), cone[held]).sqrt().item() / scale
            print(f"step {step}  loss {loss.item() / 32 / LENGTH:.4f}  val_error {error:.4f}")


if __name__ == "__main__":
    main()
