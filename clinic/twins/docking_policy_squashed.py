"""A policy learns to dock a small craft from a pilot who flies it, close starts first; likelihood of his thrusts.

condition: healthy
metric: miss min
"""

import argparse
import math

import torch
from torch import nn

HORIZON = 12


def simulate(state, thrust):
    """Position and velocity in the plane after one thrust of at most one unit along each axis."""
    velocity = 0.9 * state[:, 2:] + 0.3 * thrust
    return torch.cat([state[:, :2] + velocity, velocity], 1)


def pilot(state):
    wish = -0.5 * state[:, :2] - 1.2 * state[:, 2:] + 0.1 * torch.randn(len(state), 2)
    return wish.clamp(-1, 1)


def flights(size, radius):
    angle = 2 * math.pi * torch.rand(size, 1)
    state = torch.cat([radius * angle.cos(), radius * angle.sin(), 0.1 * torch.randn(size, 2)], 1)
    seen = []
    for _ in range(HORIZON):
        thrust = pilot(state)
        seen.append((state, thrust))
        state = simulate(state, thrust)
    return tuple(torch.cat(parts) for parts in zip(*seen, strict=True))


class SquashedGaussianPolicy(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, 2)
        self.log_std = nn.Linear(hidden, 2)

    def forward(self, state):
        h = self.body(state)
        return self.mean(h), self.log_std(h).clamp(-4, 1)

    def log_prob(self, state, action):
        action = action.clamp(-0.999, 0.999)
        raw = torch.atanh(action)
        mean, log_std = self(state)
        density = -0.5 * ((raw - mean) / log_std.exp()) ** 2 - log_std - 0.5 * math.log(2 * math.pi)
        return (density - torch.log1p(-(action**2))).sum(1)


@torch.no_grad()
def miss(model, state):
    for _ in range(HORIZON):
        state = simulate(state, torch.tanh(model(state)[0]))
    return state[:, :2].norm(dim=1).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = SquashedGaussianPolicy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    exam = flights(300, 2.0)[0][:300]
    for step in range(1, 361):
        state, thrust = flights(16, radius=0.5 + 2.5 * step / 360)
        loss = -model.log_prob(state, thrust).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 12 == 0:
            print(f"step {step}  loss {loss.item():.4f}  miss {miss(model, exam):.4f}")


if __name__ == "__main__":
    main()
