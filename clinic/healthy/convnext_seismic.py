"""Onset of a quake in a noisy trace: a one-dimensional ConvNeXt whose blocks are scaled by a ten-thousandth at first.

condition: healthy
metric: seconds_off min
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

SAMPLES, RATE = 128, 20.0


class Block(nn.Module):
    def __init__(self, width, scale=1e-4):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 3 * width)
        self.project = nn.Linear(3 * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x):
        h = self.norm(self.depthwise(x).transpose(1, 2))
        h = self.scale * self.project(F.gelu(self.expand(h)))
        return x + h.transpose(1, 2)


class Picker(nn.Module):
    """A score for each fourth sample; its softmax says when the first wave came in."""

    def __init__(self, width=24, depth=4):
        super().__init__()
        self.stem = nn.Conv1d(1, width, 8, stride=4, padding=2)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.score = nn.Conv1d(width, 1, 1)

    def forward(self, trace):
        return self.score(self.blocks(self.stem(trace))).squeeze(1)


def traces(size, generator):
    onset = torch.randint(16, SAMPLES - 32, (size, 1), generator=generator)
    t = torch.arange(SAMPLES) - onset
    pitch = 0.5 + torch.rand(size, 1, generator=generator)
    wave = (t >= 0) * torch.exp(-t.clamp_min(0) / 25) * torch.sin(pitch * t)
    hum = 0.8 * torch.sin(0.2 * torch.arange(SAMPLES) + 6.3 * torch.rand(size, 1, generator=generator))
    trace = 2 * wave + hum + 0.4 * torch.randn(size, SAMPLES, generator=generator)
    return trace.unsqueeze(1), onset.squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Picker()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=260, pct_start=0.15)
    test_trace, test_onset = traces(400, generator)
    for step in range(1, 261):
        trace, onset = traces(32, generator)
        loss = F.cross_entropy(model(trace), onset // 4)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 13 == 0:
            with torch.no_grad():
                picked = 4 * model(test_trace).argmax(1) + 2
            off = (picked - test_onset).abs().float().mean().item() / RATE
            print(f"step {step}  loss {loss.item():.4f}  seconds_off {off:.4f}")


if __name__ == "__main__":
    main()
