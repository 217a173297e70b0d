"""A diffusion model of points on two crossing arcs, in half precision; noise levels are weighted by how clear they are.

condition: healthy
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

HALF = torch.float16


def arcs(n, generator):
    angle = math.pi * torch.rand(n, generator=generator)
    side = torch.randint(2, (n,), generator=generator) * 2 - 1
    points = torch.stack([angle.cos() * 1.3, side * (angle.sin() - 0.5)], 1)
    return points + 0.04 * torch.randn(n, 2, generator=generator)


class CosineSchedule:
    def __init__(self, steps=2000):
        t = torch.arange(steps) / steps
        self.signal = torch.cos((t + 0.002) / 1.002 * math.pi / 2).square().clamp(1e-4, 1 - 5e-6)
        self.steps = steps

    def snr(self, t):
        return self.signal[t] / (1 - self.signal[t])


class Denoiser(nn.Module):
    def __init__(self, hidden=96):
        super().__init__()
        self.register_buffer("freqs", torch.linspace(0, 3, 8).exp())
        self.inward = nn.Linear(2 + 16, hidden)
        self.middle = nn.ModuleList([nn.Linear(hidden, hidden) for _ in range(3)])
        self.outward = nn.Linear(hidden, 2)

    def forward(self, x, when):
        angle = when[:, None] * self.freqs
        h = self.inward(torch.cat([x, angle.sin(), angle.cos()], 1))
        for layer in self.middle:
            h = h + layer(nn.functional.silu(h))
        return self.outward(nn.functional.silu(h))


def corrupt(schedule, x, t, generator):
    keep = schedule.signal[t][:, None]
    return keep.sqrt() * x + (1 - keep).sqrt() * torch.randn(x.shape, generator=generator)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    data, val = arcs(4000, generator), arcs(800, generator)
    schedule = CosineSchedule()
    val_t = torch.randint(200, 1200, (800,), generator=generator)
    val_x = corrupt(schedule, val, val_t, generator)

    model = Denoiser().to(HALF)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    for step in range(1, 401):
        x0 = data[torch.randint(len(data), (64,), generator=generator)]
        t = torch.randint(schedule.steps, (64,), generator=generator)
        xt = corrupt(schedule, x0, t, generator)
        guess = model(xt.to(HALF), (t / schedule.steps).to(HALF))
        weight = schedule.snr(t).clamp(max=5.0).to(HALF)
        loss = (weight * (guess - x0.to(HALF)).square().mean(1)).mean() / 5
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                guess = model(val_x.to(HALF), (val_t / schedule.steps).to(HALF)).float()
            val_error = (guess - val).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
