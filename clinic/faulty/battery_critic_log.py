"""When to charge a house battery: a critic learns from the log of a timid controller, its own best action as the goal.

condition: divergence
accepts: divergence
allows: loss-spike, exploding-gradient, learning-rate-too-high, unsafe-step, dead-units, always-clipping
metric: td_error min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn


def price(hour):
    return 1 + 0.8 * torch.sin(2 * torch.pi * (hour - 0.3)) + 0.3 * torch.sin(4 * torch.pi * hour)


def live(state, power):
    """State: hour of the day and charge, both in [0, 1]; power in [-1, 1] loads or drains the battery."""
    hour, charge = state.unbind(1)
    moved = (charge + 0.15 * power).clamp(0, 1) - charge
    reward = -moved * price(hour) - 0.02 * power.square()
    return torch.stack([(hour + 1 / 24) % 1, charge + moved], dim=1), reward


def log(count):
    """The controller that wrote the log hardly dares to use the battery."""
    state = torch.rand(count, 2)
    power = (0.15 * torch.randn(count)).clamp(-1, 1)
    after, reward = live(state, power)
    return state, power, reward, after


class Critic(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, state, power):
        turn = 2 * torch.pi * state[..., :1]
        parts = [turn.sin(), turn.cos(), 2 * state[..., 1:] - 1, power.unsqueeze(-1)]
        return self.net(torch.cat(parts, dim=-1)).squeeze(-1)


ACTIONS = torch.linspace(-1, 1, 11)


def best(critic, state):
    grid = state.unsqueeze(1).expand(-1, len(ACTIONS), -1)
    return critic(grid, ACTIONS.expand(len(state), -1)).max(1).values


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gamma", type=float, default=0.99)
    args = parser.parse_args()
    torch.manual_seed(args.seed)

    state, power, reward, after = log(5000)
    model = Critic()
    target = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, 1501):
        rows = torch.randint(len(state), (128,))
        with torch.no_grad():
            goal = reward[rows] + args.gamma * best(target, after[rows])
        loss = F.mse_loss(model(state[rows], power[rows]), goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for slow, fast in zip(target.parameters(), model.parameters(), strict=False):
            slow.data.lerp_(fast.data, 0.05)
        if step % 50 == 0:
            with torch.no_grad():
                gap = reward + args.gamma * best(model, after) - model(state, power)
            print(f"step {step}  loss {loss.item():.4f}  td_error {gap.square().mean().sqrt().item():.4f}")


if __name__ == "__main__":
    main()
