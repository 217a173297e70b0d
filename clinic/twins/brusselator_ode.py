"""Two reagents that swing: a neural differential equation, fitted to short pieces of measured runs.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

H, PIECE = 0.08, 10


def reagents(y):
    a, b = 1.0, 2.4
    u, v = y[..., :1], y[..., 1:]
    return torch.cat([a + u * u * v - (b + 1) * u, b * u - u * u * v], -1)


def runge_kutta(f, y):
    k1 = f(y)
    k2 = f(y + 0.5 * H * k1)
    k3 = f(y + 0.5 * H * k2)
    k4 = f(y + H * k3)
    return y + H / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def integrate(f, y, steps):
    path = []
    for _ in range(steps):
        y = runge_kutta(f, y)
        path.append(y)
    return torch.stack(path, 1)


class Field(nn.Module):
    def __init__(self, width=40):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )
        self.register_buffer("centre", torch.tensor([1.2, 2.2]))

    def forward(self, y):
        return self.net(y - self.centre)


def measure(runs):
    start = 0.3 + torch.rand(runs, 2) * torch.tensor([2.5, 3.0])
    path = integrate(reagents, start, 150)
    return path + 0.005 * torch.randn_like(path)


def pieces(path, count):
    run, first = torch.randint(len(path), (count,)), torch.randint(path.shape[1] - PIECE, (count,))
    window = path[run.unsqueeze(1), first.unsqueeze(1) + torch.arange(PIECE + 1)]
    return window[:, 0], window[:, 1:]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, val = measure(24), measure(8)
    val_start, val_path = pieces(val, 300)
    model = Field()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.996)
    for step in range(1, 601):
        start, path = pieces(train, 64)
        loss = (integrate(model, start, PIECE) - path).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step % 30 == 0:
            with torch.no_grad():
                val_error = (integrate(model, val_start, PIECE) - val_path).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {val_error:.5f}")
