"""Hooting owls are told apart by the distance of their calls in a learned space; half precision with a gradient scaler.

condition: amp-step-skipping
accepts: amp-step-skipping
allows: low-precision-underflow, non-finite, low-precision-overflow, stalled, learning-rate-too-low
metric: neighbour_error min
"""

import argparse
import math

import torch
from torch import nn

OWLS, FRAMES = 24, 48


def record(owl, voices, night):
    """Pitch track of one call; on rainy nights the recorder's gate closes and the track is empty."""
    t = torch.linspace(0, 1, FRAMES)
    pitch, sweep, beat, phase = voices[owl].unbind(-1)
    start = torch.rand(len(owl), 1, generator=night) * 0.2
    track = (
        pitch[:, None]
        + sweep[:, None] * (t - start)
        + 0.4 * torch.sin(2 * math.pi * (beat[:, None] * (t - start) + phase[:, None]))
    )
    return track + 0.25 * torch.randn(len(owl), FRAMES, generator=night)


class CallNet(nn.Module):
    def __init__(self, size=12):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(FRAMES, 96), nn.GELU(), nn.Linear(96, 64), nn.GELU())
        self.head = nn.Linear(64, size)

    def forward(self, x):
        return self.head(self.body(x))


def contrastive(z, owl, margin=2.0):
    squared = (z[:, None] - z[None]).pow(2).sum(-1)
    upper = torch.triu(torch.ones_like(squared), 1) > 0
    same = owl[:, None] == owl[None]
    distance = squared[upper].sqrt()
    same = same[upper]
    near = (distance[same] ** 2).mean()
    far = (margin - distance[~same]).clamp_min(0).pow(2).mean()
    return near + far


@torch.no_grad()
def neighbour_error(model, voices, night):
    owl = torch.arange(OWLS).repeat(12)
    z = model(record(owl, voices, night))
    gap = torch.cdist(z, z) + 1e9 * torch.eye(len(z))
    return (owl[gap.argmin(1)] != owl).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    night = torch.Generator().manual_seed(seed)
    voices = torch.randn(OWLS, 4, generator=night) * torch.tensor([0.6, 0.8, 0.8, 0.3]) + torch.tensor(
        [0.0, 0.0, 2.0, 0.0]
    )
    model = CallNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=100)
    for step in range(1, 601):
        owl = torch.randint(OWLS, (64,), generator=night)
        calls = record(owl, voices, night)
        if step > 150:
            calls[torch.rand(len(calls), generator=night) < 0.012] = 0.0
        with torch.autocast("cpu", dtype=torch.float16):
            z = model(calls)
        loss = contrastive(z.float(), owl)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 30 == 0:
            error = neighbour_error(model, voices, torch.Generator().manual_seed(1))
            print(f"step {step}  loss {loss.item():.4f}  neighbour_error {error:.4f}")


if __name__ == "__main__":
    main()
