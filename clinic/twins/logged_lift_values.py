"""What a lift's waiting position is worth, from the logs of its old controller: fitted values of the greedy policy.

condition: healthy
metric: value_error min
"""

import argparse
import copy
import math

import torch
from torch import nn

FLOORS, ACTIONS, RATE = 12, 3, 0.05


def world():
    """Chances of the next call by floor, and the exact values of each position and move by value iteration."""
    call = torch.softmax(2.0 * torch.cos(torch.arange(FLOORS) * 0.9), 0)
    floors = torch.arange(FLOORS)
    wait = (floors.view(-1, 1) - floors.view(1, -1)).abs().float() @ call
    to = torch.stack([(floors - 1).clamp_min(0), floors, (floors + 1).clamp_max(FLOORS - 1)], 1)
    reward = 1 - wait[to] / 4 - 0.05 * torch.tensor([1.0, 0.0, 1.0])
    values = torch.zeros(FLOORS, ACTIONS)
    for _ in range(1000):
        values = reward + math.exp(-RATE) * values.max(1).values[to]
    return to, reward, values


def features(floor):
    """Overlapping positions in the shaft."""
    centre = torch.linspace(0, FLOORS - 1, 8)
    bump = torch.exp(-(((floor.unsqueeze(-1) - centre) / 1.5) ** 2))
    return torch.cat([bump, floor.unsqueeze(-1) / FLOORS], -1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    to, reward, truth = world()
    model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, ACTIONS))
    target = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    every = torch.arange(FLOORS)
    logged = torch.multinomial(torch.tensor([0.45, 0.1, 0.45]).expand(FLOORS, 3), 300, replacement=True)
    for step in range(1, 2001):
        floor = torch.randint(0, FLOORS, (64,))
        move = logged[floor, torch.randint(0, 300, (64,))]
        after = to[floor, move]
        with torch.no_grad():
            best = target(features(after.float())).max(1).values
            seconds = 1 + 0.2 * torch.randn(64)
            goal = reward[floor, move] + 0.1 * torch.randn(64) + torch.exp(-RATE * seconds) * best
        value = model(features(floor.float())).gather(1, move.unsqueeze(1)).squeeze(1)
        loss = nn.functional.mse_loss(value, goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            target.load_state_dict(model.state_dict())
        if step % 80 == 0:
            with torch.no_grad():
                error = (model(features(every.float())) - truth).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  value_error {error:.4f}")


main()
