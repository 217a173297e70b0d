"""Phases that part: a network for the Allen-Cahn equation, fitted over a span of time that is widened in stages.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn

EPS, T = 0.02, 2.0


def reference(cells=128, steps=4000):
    """Explicit differences on a periodic interval; kept at five times."""
    x = torch.linspace(-1, 1, cells + 1, dtype=torch.float64)[:-1]
    u, h, dt, kept = torch.sin(math.pi * x) * 0.5, 2 / cells, T / steps, []
    for i in range(1, steps + 1):
        u = u + dt * (EPS * (u.roll(1) - 2 * u + u.roll(-1)) / h**2 + u - u**3)
        if i % 800 == 0:
            kept.append(u)
    return x.float(), torch.stack(kept).float()


class PhaseField(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(5, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, x, t):
        s, c = torch.sin(math.pi * x), torch.cos(math.pi * x)
        features = torch.cat([s, c, 2 * s * c, c * c - s * s, t - 1], 1)
        return 0.5 * s + t * self.net(features)


def residual(model, x, t):
    x, t = x.requires_grad_(True), t.requires_grad_(True)
    u = model(x, t)
    ux, ut = torch.autograd.grad(u.sum(), (x, t), create_graph=True)
    uxx = torch.autograd.grad(ux.sum(), x, create_graph=True)[0]
    return ut - EPS * uxx - u + u**3


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
grid, truth = reference()
model = PhaseField()


def report(step, loss):
    with torch.no_grad():
        times = torch.arange(1, 6) * T / 5
        u = torch.stack([model(grid.unsqueeze(1), t.expand(len(grid), 1)).squeeze(1) for t in times])
    print(f"step {step}  loss {loss.item():.2e}  error {(u - truth).abs().mean().item():.5f}")


step = 0
for stage in range(1, 5):
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150, eta_min=3e-4)
    for _ in range(150):
        step += 1
        x, t = 2 * torch.rand(128, 1) - 1, T * stage / 4 * torch.rand(128, 1)
        loss = residual(model, x, t).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 30 == 0:
            report(step, loss)

x, t = 2 * torch.rand(512, 1) - 1, T * torch.rand(512, 1)
optimizer = torch.optim.LBFGS(model.parameters(), max_iter=6, line_search_fn="strong_wolfe")


def closure():
    optimizer.zero_grad()
    value = residual(model, x.detach(), t.detach()).square().mean()
    value.backward()
    return value


for _ in range(10):
    step += 1
    report(step, optimizer.step(closure))
