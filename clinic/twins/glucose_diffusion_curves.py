"""Denoising diffusion of a day's glucose curves: meals, insulin and the dawn rise.

condition: healthy
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

HOURS, T = 32, 200


def days(n, gen):
    h = torch.linspace(0, 24, HOURS)
    curve = torch.zeros(n, HOURS)
    for meal in (7.5, 12.5, 19.0):
        at = meal + 0.8 * torch.randn(n, 1, generator=gen)
        size = 1 + 0.6 * torch.randn(n, 1, generator=gen).abs()
        lag = (h - at).clamp(min=0)
        curve += size * lag * torch.exp(-lag / 1.1)
    dawn = torch.rand(n, 1, generator=gen) * torch.exp(-(((h - 5) / 2) ** 2))
    base = 0.4 * torch.randn(n, 1, generator=gen)
    return (curve + dawn + base - 0.45) / 0.55


class Denoiser(nn.Module):
    def __init__(self, width=160):
        super().__init__()
        self.register_buffer("freqs", torch.exp(torch.linspace(0, math.log(100), 16)))
        self.time = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))
        self.inp = nn.Linear(HOURS, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(3)
        )
        self.out = nn.Linear(width, HOURS)

    def forward(self, x, t):
        angle = (t / T).unsqueeze(1) * self.freqs
        emb = self.time(torch.cat([angle.sin(), angle.cos()], 1))
        h = self.inp(x)
        for block in self.blocks:
            h = h + block(h + emb)
        return self.out(h)


class Diffusion:
    def __init__(self, model):
        self.model = model
        s = torch.arange(T + 1) / T
        self.abar = (torch.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2)[1:].clamp(1e-4, 0.9999)

    def loss(self, x0, t, noise):
        a = self.abar[t].unsqueeze(1)
        return nn.functional.mse_loss(self.model(a.sqrt() * x0 + (1 - a).sqrt() * noise, t.float()), noise)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--seed", type=int, default=0)
    seed = cli.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    train, val = days(4000, gen), days(1000, gen)
    val_t, val_noise = torch.randint(T, (1000,), generator=gen), torch.randn(1000, HOURS, generator=gen)
    diffusion = Diffusion(Denoiser())
    optimizer = torch.optim.AdamW(diffusion.model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.3, patience=1)
    for epoch in range(1, 31):
        for x0 in train[torch.randperm(len(train))].split(100):
            loss = diffusion.loss(x0, torch.randint(T, (len(x0),)), torch.randn_like(x0))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = diffusion.loss(val, val_t, val_noise).item()
        scheduler.step(val_loss)
        print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
