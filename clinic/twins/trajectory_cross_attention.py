"""Where was a walker at a given time? Queries of a time attend to a noisy track of positions and times.

condition: healthy
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


def tracks(n, generator, marks=40, asked=8):
    """Smooth random walks in the plane; marks come at random times with noise, and the clock of each track drifts."""
    t = torch.rand(n, marks + asked, generator=generator)
    phase = 2 * torch.pi * torch.rand(n, 2, 4, generator=generator)
    size = torch.randn(n, 2, 4, generator=generator) / torch.arange(1, 5).sqrt()
    wave = torch.sin(2 * torch.pi * t[:, None, None] * torch.arange(1, 5)[:, None] / 2 + phase[..., None])
    place = (size[..., None] * wave).sum(2).transpose(1, 2)
    seen = place[:, :marks] + 0.6 * torch.randn(n, marks, 2, generator=generator)
    return torch.cat([seen, t[:, :marks, None]], 2), t[:, marks:], place[:, marks:]


def time_code(t, bands=6):
    angle = t[..., None] * torch.pi * 2.0 ** torch.arange(bands)
    return torch.cat([angle.sin(), angle.cos()], -1)


class CrossAttention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.to_q = nn.Linear(dim, dim, bias=False)
        self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        self.out = nn.Linear(dim, dim)

    def forward(self, query, memory):
        def split(x):
            return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

        k, v = self.to_kv(memory).chunk(2, -1)
        weights = (torch.einsum("bhqd,bhkd->bhqk", split(self.to_q(query)), split(k)) * self.scale).softmax(-1)
        return self.out((weights @ split(v)).transpose(1, 2).flatten(2))


class Tracker(nn.Module):
    def __init__(self, dim=64, heads=2, layers=2):
        super().__init__()
        self.mark = nn.Linear(2 + 12, dim)
        self.ask = nn.Linear(12, dim)
        self.attend = nn.ModuleList([CrossAttention(dim, heads) for _ in range(layers)])
        self.mlps = nn.ModuleList(
            [nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)) for _ in range(layers)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(2 * layers + 1)])
        self.place = nn.Linear(dim, 2)

    def forward(self, marks, when):
        memory = self.norms[-1](self.mark(torch.cat([marks[..., :2], time_code(marks[..., 2])], -1)))
        h = self.ask(time_code(when))
        for i, (attend, mlp) in enumerate(zip(self.attend, self.mlps, strict=True)):
            h = h + attend(self.norms[2 * i](h), memory)
            h = h + mlp(self.norms[2 * i + 1](h))
        return self.place(h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = tracks(4000, generator), tracks(300, generator)
    model = Tracker()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=30)
    for step in range(1, 226):
        rows = torch.randint(4000, (32,), generator=generator)
        marks, when, place = (part[rows] for part in train)
        loss = F.mse_loss(model(marks, when), place)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warmup.step()
        if step % 12 == 0:
            with torch.no_grad():
                val_error = F.mse_loss(model(val[0], val[1]), val[2]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
