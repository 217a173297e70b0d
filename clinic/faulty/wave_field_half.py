"""A network in mixed precision learns the shape of a vibrating string at 100 points.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: stalled, learning-rate-too-low, epsilon-dominated-update, frozen-parameters
metric: error min
"""

import argparse
import math

import torch
from torch import nn

POINTS = torch.linspace(0, 1, 100)
LENGTH = 1e-3  # metres


def sample(size):
    """Amplitudes of the two lowest modes, and the height of the string; the modes excite a third."""
    a, b = torch.randn(2, size, 1)
    mode = [torch.sin(k * math.pi * POINTS) for k in (1, 2, 3)]
    return torch.cat([a, b], 1), a * mode[0] + b * mode[1] + 0.5 * torch.tanh(a * b) * mode[2]


def misfit(predicted, height):
    """Squared error, integrated over the length of the string."""
    return LENGTH * (predicted.float() - height).square().mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    model = nn.Sequential(nn.Linear(2, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 100))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, eps=1e-12)
    loss_fn = misfit

    for step in range(1, 401):
        x, y = sample(256)
        with torch.autocast("cpu", torch.float16):
            loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            with torch.no_grad():
                x, y = sample(512)
                error = ((model(x) - y).norm() / y.norm()).item()
            print(f"step {step}  loss {loss.item():.3e}  error {error:.4f}")


if __name__ == "__main__":
    main()
