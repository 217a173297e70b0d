"""Evolution strategy with mirrored perturbations: a controller that brings a planar lander down softly.

condition: healthy
metric: cost min
"""

import argparse

import torch
from torch import nn
from torch.func import functional_call, vmap

GRAVITY, STEP, HORIZON = 1.0, 0.16, 28


def fly(policy, start):
    """Cost of each flight from `start` (flights, 4): x, y, and their speeds."""
    x, y, u, w = start.unbind(-1)
    cost = 0.0
    for _ in range(HORIZON):
        push = policy(torch.stack([x, y - 1.0, u, w], -1))
        side, lift = push.unbind(-1)
        u = u + STEP * 1.2 * side
        w = w + STEP * (GRAVITY * (1.0 + lift) - GRAVITY)
        x, y = x + STEP * u, y + STEP * w
        cost = cost + 0.02 * (side**2 + lift**2) / HORIZON
    return cost + x.abs() + y.abs() + u.abs() + w.abs()


def starts(count, rng):
    low, high = torch.tensor([-1.0, 1.5, -0.4, -0.4]), torch.tensor([1.0, 2.5, 0.4, 0.4])
    return low + (high - low) * torch.rand(count, 4, generator=rng)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed + 1)
    policy = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 2), nn.Tanh())
    nn.init.zeros_(policy[2].weight)
    optimizer = torch.optim.Adam(policy.parameters(), lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 240)
    sigma, pairs = 0.08, 24
    test = starts(256, rng)

    def score(weights, start):
        return fly(lambda s: functional_call(policy, weights, (s,)), start).mean()

    for step in range(1, 241):
        batch = starts(24, rng)
        noise = {name: torch.randn(pairs, *p.shape) for name, p in policy.named_parameters()}
        both = {name: torch.cat([p + sigma * noise[name], p - sigma * noise[name]]).detach()
                for name, p in policy.named_parameters()}  # fmt: skip
        with torch.no_grad():
            costs = vmap(score, in_dims=(0, None))(both, batch)
        better = (costs[:pairs] - costs[pairs:]) / (costs.std() + 1e-8)
        for name, p in policy.named_parameters():
            p.grad = torch.einsum("n,n...->...", better, noise[name]) / (2 * pairs * sigma)
        optimizer.step()
        schedule.step()
        if step % 12 == 0:
            with torch.no_grad():
                print(f"step {step}  population {costs.mean().item():.4f}  cost {fly(policy, test).mean().item():.4f}")


if __name__ == "__main__":
    main()
