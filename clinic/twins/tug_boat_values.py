"""Values of the moves of a tug that holds a barge against the stream: fitted Q-iteration from a logged season.

condition: healthy
metric: drift min
"""

import argparse
import copy

import torch
from torch import nn

THRUSTS = torch.tensor([-1.0, -0.4, 0.0, 0.4, 1.0])
GAMMA = 0.95


def sail(place, speed, stream, thrust, g):
    force = 0.6 * thrust + stream - 0.3 * speed
    speed = speed + 0.3 * force + 0.02 * torch.randn(place.shape, generator=g)
    place = (place + 0.3 * speed).clamp(-3, 3)
    stream = (0.97 * stream + 0.05 * torch.randn(place.shape, generator=g)).clamp(-0.5, 0.5)
    return place, speed, stream


def reward(place, thrust):
    """Cost of a tick in thousands of crowns: damage grows with the drift, fuel with the thrust."""
    return -(2.0 * place**2 + 0.1 * thrust**2) / 1000


def logged_season(n, g):
    place, speed, stream = (torch.randn(n, generator=g) * s for s in (1.2, 0.7, 0.25))
    action = torch.randint(len(THRUSTS), (n,), generator=g)
    after = sail(place, speed, stream, THRUSTS[action], g)
    return (
        torch.stack([place, speed, 3 * stream], 1),
        action,
        reward(after[0], THRUSTS[action]),
        torch.stack([after[0], after[1], 3 * after[2]], 1),
    )


def mean_drift(q, g, boats=200, ticks=40):
    place, speed, stream = (torch.randn(boats, generator=g) * s for s in (1.0, 0.3, 0.25))
    total = 0.0
    with torch.no_grad():
        for _ in range(ticks):
            action = q(torch.stack([place, speed, 3 * stream], 1)).argmax(1)
            place, speed, stream = sail(place, speed, stream, THRUSTS[action], g)
            total += place.abs().mean().item() / ticks
    return total


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    g = torch.Generator().manual_seed(seed)
    state, action, gain, after = logged_season(8000, g)
    gain = gain * 100
    q = nn.Sequential(nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, len(THRUSTS)))
    nn.init.zeros_(q[-1].weight), nn.init.zeros_(q[-1].bias)
    slow = copy.deepcopy(q)
    optimizer = torch.optim.Adam(q.parameters(), lr=1e-3, eps=1e-5)
    loss_fn = nn.MSELoss()
    for step in range(1, 2001):
        rows = torch.randint(len(state), (64,), generator=g)
        with torch.no_grad():
            target = gain[rows] + GAMMA * slow(after[rows]).max(1).values
        value = q(state[rows]).gather(1, action[rows, None]).squeeze(1)
        loss = loss_fn(value, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for p, s in zip(q.parameters(), slow.parameters()):
                s.lerp_(p, 0.01)
        if step % 100 == 0:
            drift = mean_drift(q, torch.Generator().manual_seed(7))
            print(f"step {step}  loss {loss.item():.3e}  drift {drift:.4f}")


if __name__ == "__main__":
    main()
