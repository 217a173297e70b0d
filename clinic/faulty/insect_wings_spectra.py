"""Kinds of insects from the power spectrum of their wing beats, in float16 with a gradient scaler.

Laboratory recordings come first; recordings from the field, with their own gain, are mixed in later.

condition: low-precision-overflow
accepts: low-precision-overflow, non-finite, amp-step-skipping
allows: stalled
metric: accuracy max
"""

import argparse
import math

import torch
from torch import nn

KINDS, SAMPLES = 6, 64


def record(count, field, generator):
    """A wing beat with harmonics whose strengths depend on the kind; wind and a louder amplifier in the field."""
    kind = torch.randint(KINDS, (count,), generator=generator)
    time = torch.arange(SAMPLES) / SAMPLES
    warmth = 1.12 if field else 1.0
    beat = warmth * (3.0 + 0.6 * kind[:, None] + 0.15 * torch.randn(count, 1, generator=generator))
    sound = torch.zeros(count, SAMPLES)
    for harmonic in (1, 2, 3):
        phase = 2 * math.pi * torch.rand(count, 1, generator=generator)
        strength = 1 + 0.5 * torch.cos(kind[:, None].float() * harmonic)
        sound += strength * torch.sin(2 * math.pi * harmonic * beat * time + phase)
    sound += 0.8 * torch.randn(count, SAMPLES, generator=generator)
    if field:
        wind = torch.randn(count, 1, generator=generator) * torch.cos(math.pi * time)
        muffled = 0.5 * sound + 0.5 * sound.roll(1, 1)
        sound = 8.0 * (muffled + 3.0 * wind)
    return sound, kind


class WingNet(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        angle = 2 * math.pi * torch.outer(torch.arange(SAMPLES), torch.arange(1, 33)) / SAMPLES
        window = torch.hann_window(SAMPLES)[:, None]
        self.register_buffer("cosines", window * angle.cos())
        self.register_buffer("sines", window * angle.sin())
        self.body = nn.Sequential(
            nn.Linear(32, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, KINDS)
        )

    def spectrum(self, sound):
        power = (sound @ self.cosines) ** 2 + (sound @ self.sines) ** 2
        level = torch.log(power + 1.0)
        return level - level.mean(1, keepdim=True)

    def forward(self, sound):
        return self.body(self.spectrum(sound))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=900)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    generator = torch.Generator().manual_seed(arguments.seed)
    lab, field = record(2000, False, generator), record(2000, True, generator)
    test_sound, test_kind = record(500, True, generator)

    model = WingNet()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    for step in range(1, arguments.steps + 1):
        rows = torch.randint(2000, (64,), generator=generator)
        sound, kind = lab[0][rows], lab[1][rows]
        if step > 300:
            sound = torch.cat([sound[:32], field[0][rows[32:]]])
            kind = torch.cat([kind[:32], field[1][rows[32:]]])
        with torch.autocast("cpu", dtype=torch.float16):
            logits = model(sound)
        loss = loss_fn(logits.float(), kind)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(test_sound).argmax(1) == test_kind).float().mean().item()
            print(f"step {step:4d}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
