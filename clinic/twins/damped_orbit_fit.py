"""Kepler's equation by a small network, trained with damped Gauss-Newton steps on batches of orbits.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
from torch import nn
from torch.func import functional_call, jacrev

BATCH, STEPS = 96, 300


def orbits(count):
    """Mean anomaly and eccentricity in; the sine of the true anomaly, as observed, out."""
    mean = 2 * math.pi * torch.rand(count)
    bent = 0.7 * torch.rand(count)
    eccentric = mean.clone()
    for _ in range(60):
        eccentric = eccentric - (eccentric - bent * eccentric.sin() - mean) / (1 - bent * eccentric.cos())
    sine = (1 - bent**2).sqrt() * eccentric.sin() / (1 - bent * eccentric.cos())
    inputs = torch.stack([mean.sin(), mean.cos(), 4 * bent - 1.4], 1)
    return inputs, sine + 0.05 * torch.randn(count)


class Anomaly(nn.Module):
    def __init__(self, width=14):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )

    def forward(self, inputs):
        return self.net(inputs).squeeze(-1)


def curvature(model, inputs):
    """Gauss-Newton matrix of half the mean squared error."""
    values = {name: value.detach() for name, value in model.named_parameters()}
    rows = jacrev(lambda v: functional_call(model, v, (inputs,)))(values)
    jacobian = torch.cat([rows[name].flatten(1) for name in values], 1)
    return jacobian.T @ jacobian / len(inputs)


def precondition(model, matrix, damping):
    gradient = torch.cat([p.grad.flatten() for p in model.parameters()])
    matrix = matrix + damping * torch.eye(len(matrix))
    direction = torch.linalg.solve(matrix, gradient)
    start = 0
    for p in model.parameters():
        p.grad.copy_(direction[start : start + p.numel()].view_as(p))
        start += p.numel()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    held_inputs, held_sine = orbits(2000)
    model = Anomaly()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    damping = 1.0
    for step in range(1, STEPS + 1):
        inputs, sine = orbits(BATCH)
        loss = 0.5 * (model(inputs) - sine).square().mean()
        optimizer.zero_grad()
        loss.backward()
        precondition(model, curvature(model, inputs), damping)
        optimizer.step()
        damping = max(0.95 * damping, 0.03)
        if step % 10 == 0:
            with torch.no_grad():
                error = (model(held_inputs) - held_sine).square().mean().sqrt().item()
            print(f"step {step}  damping {damping:.1e}  error {error:.4f}")


if __name__ == "__main__":
    main()
