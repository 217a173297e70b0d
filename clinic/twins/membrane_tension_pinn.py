"""Sag of a loaded membrane with unknown tension: the equation first, then the laser gauges' readings as well.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn


def sag(xy):
    """Exact sag under the load below at tension one."""
    x, y = xy[:, :1], xy[:, 1:]
    first = torch.sin(math.pi * x) * torch.sin(math.pi * y)
    return first - 0.4 * torch.sin(2 * math.pi * x) * torch.sin(math.pi * y)


def load(xy):
    x, y = xy[:, :1], xy[:, 1:]
    first = 2 * math.pi**2 * torch.sin(math.pi * x) * torch.sin(math.pi * y)
    return first - 0.4 * 5 * math.pi**2 * torch.sin(2 * math.pi * x) * torch.sin(math.pi * y)


class Sag(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.log_tension = nn.Parameter(torch.tensor(0.4))

    def forward(self, xy):
        edge = (xy * (1 - xy)).prod(1, keepdim=True)
        return 8 * edge * self.net(2 * xy - 1)


def imbalance(model, xy):
    u = model(xy)
    g = torch.autograd.grad(u.sum(), xy, create_graph=True)[0]
    lap = sum(torch.autograd.grad(g[:, k].sum(), xy, create_graph=True)[0][:, k] for k in (0, 1))
    return model.log_tension.exp() * lap.unsqueeze(1) + load(xy)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    gauges = 0.1 + 0.8 * torch.rand(40, 2)
    reading = sag(gauges) + 0.01 * torch.randn(40, 1)
    exam = torch.rand(1000, 2)
    model = Sag()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(1, 901):
        if step == 650:
            optimizer.param_groups[0]["lr"] = 1e-3
        xy = torch.rand(200, 2, requires_grad=True)
        residual = imbalance(model, xy) / (4 * math.pi**2)
        loss = residual.square().mean()
        if step > 350:
            misfit = model(gauges) - reading
            loss = loss + misfit.square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step <= 350:
            model.log_tension.grad = None
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                error = ((model(exam) - sag(exam)).norm() / sag(exam).norm()).item()
            print(f"step {step}  loss {loss.item():.5f}  T {model.log_tension.exp().item():.3f}  error {error:.4f}")


main()
