"""Leak or not, and how far: pipes' noise through diagonal state-space layers, with slower rates for their poles.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn

LENGTH = 96


class DiagonalSSM(nn.Module):
    """A bank of damped oscillators per channel, applied as one convolution by FFT."""

    def __init__(self, channels, states=8):
        super().__init__()
        self.log_decay = nn.Parameter(torch.log(0.02 + 0.3 * torch.rand(channels, states)))
        self.frequency = nn.Parameter(math.pi * torch.rand(channels, states))
        self.mix = nn.Parameter(torch.randn(channels, states, 2) / states**0.5)
        self.skip = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        t = torch.arange(x.shape[2])
        envelope = torch.exp(-self.log_decay.exp().unsqueeze(2) * t)
        turn = self.frequency.unsqueeze(2) * t
        kernel = (envelope * (self.mix[:, :, :1] * torch.cos(turn) + self.mix[:, :, 1:] * torch.sin(turn))).sum(1)
        n = 2 * x.shape[2]
        y = torch.fft.irfft(torch.fft.rfft(x, n) * torch.fft.rfft(0.3 * kernel, n), n)[:, :, : x.shape[2]]
        return y + self.skip[:, None] * x


class LeakNet(nn.Module):
    def __init__(self, channels=24, depth=2):
        super().__init__()
        self.enter = nn.Conv1d(1, channels, 1)
        self.norms = nn.ModuleList(nn.GroupNorm(1, channels) for _ in range(depth))
        self.ssms = nn.ModuleList(DiagonalSSM(channels) for _ in range(depth))
        self.mixes = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in range(depth))
        self.out = nn.Linear(channels, 2)

    def forward(self, x):
        h = self.enter(x.unsqueeze(1))
        for norm, ssm, mix in zip(self.norms, self.ssms, self.mixes):
            h = h + mix(nn.functional.gelu(ssm(norm(h))))
        return self.out(h.square().mean(2).add(1e-3).log()).unbind(1)


def pipes(n, rng):
    """Noise with a resonance whose place in frequency depends on the distance."""
    far = torch.rand(n, generator=rng)
    noise = torch.randn(n, LENGTH + 40, generator=rng)
    t = torch.arange(40)
    ring = torch.exp(-0.12 * t) * torch.cos((0.5 + 1.8 * far[:, None]) * t)
    size = 2 * (LENGTH + 40)
    sound = torch.fft.irfft(torch.fft.rfft(noise, size) * torch.fft.rfft(ring, size), size)[:, 40 : LENGTH + 40]
    return 0.5 * sound + 0.5 * torch.randn(n, LENGTH, generator=rng), 3.4 * far - 1.7


def nll(model, x, far):
    mean, log_std = model(x)
    log_std = log_std.clamp(-4, 2)
    return (0.5 * ((far - mean) / log_std.exp()).square() + log_std).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    val = pipes(500, rng)
    model = LeakNet()
    poles = [p for name, p in model.named_parameters() if "log_decay" in name or "frequency" in name]
    others = [p for name, p in model.named_parameters() if "log_decay" not in name and "frequency" not in name]
    optimizer = torch.optim.AdamW([{"params": others}, {"params": poles, "lr": 1e-3, "weight_decay": 0.0}], lr=3e-3)
    cycle = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 150, eta_min=1e-4)
    for step in range(1, 451):
        loss = nll(model, *pipes(48, rng))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        cycle.step()
        if step % 25 == 0:
            with torch.no_grad():
                val_nll = nll(model, *val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
