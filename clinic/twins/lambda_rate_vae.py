"""A VAE of made-up light curves of stars; the rate warms up and then falls with the square root of the step.

condition: healthy
metric: reconstruction min
"""

import argparse
from math import pi

import torch
from torch import nn


def light_curves(count, length=48):
    """Dips of a transit and a slow wave, seen with some noise."""
    time = torch.linspace(0, 1, length)
    depth, centre, width, phase = (torch.rand(count, 1) for _ in range(4))
    dip = -(0.5 + 1.5 * depth) * torch.exp(-(((time - 0.2 - 0.6 * centre) / (0.04 + 0.08 * width)) ** 2))
    wave = 0.7 * torch.sin(2 * pi * (time + phase))
    return dip + wave + 0.1 * torch.randn(count, length)


class VAE(nn.Module):
    def __init__(self, length=48, hidden=96, latent=6):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(length, hidden), nn.GELU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.GELU(), nn.Linear(hidden, length))

    def forward(self, x):
        mean, log_variance = self.encoder(x).chunk(2, 1)
        code = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1)
        return self.decoder(code), divergence


class RootSchedule:
    def __init__(self, peak, warmup):
        self.peak, self.warmup = peak, warmup

    def __call__(self, step):
        return min((step + 1) / self.warmup, (self.warmup / (step + 1)) ** 0.5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    curves, held = light_curves(4000), light_curves(500)
    model = VAE()
    peak = 2e-3
    optimizer = torch.optim.Adam(model.parameters(), lr=peak)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, RootSchedule(peak, warmup=60))
    loss_fn = nn.MSELoss(reduction="none")
    for step in range(1, 451):
        batch = curves[torch.randint(len(curves), (64,))]
        rebuilt, divergence = model(batch)
        loss = (loss_fn(rebuilt, batch).sum(1) + 0.1 * divergence).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 18 == 0:
            with torch.no_grad():
                reconstruction = loss_fn(model(held)[0], held).mean().item()
            print(f"step {step}  loss {loss.item():.3f}  reconstruction {reconstruction:.4f}")


if __name__ == "__main__":
    main()
