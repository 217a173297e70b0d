"""A model of a crane trolley with a swinging load: first from single moves, then from a memory of whole runs.

condition: healthy
metric: error min
"""

import argparse
import math
import random

import numpy as np
import torch
from torch import nn


class Trolley:
    """Place and speed of the trolley, angle (sine, cosine) and rate of the load that hangs from it."""

    def __init__(self, rng):
        angle = rng.uniform(-1.5, 1.5)
        place, speed, rate = rng.uniform(-1, 1, 3)
        self.state = np.array([place, speed, math.sin(angle), math.cos(angle), 2 * rate], dtype=np.float32)

    def step(self, force):
        place, speed, sine, cosine, rate = self.state.tolist()
        angle = math.atan2(sine, cosine)
        for _ in range(4):
            push = 1.5 * force - 0.3 * speed - 0.5 * math.cos(angle) * math.sin(angle)
            speed += 0.04 * push
            place += 0.04 * speed
            rate -= 0.04 * (4 * math.sin(angle) + push * math.cos(angle) + 0.1 * rate)
            angle += 0.04 * rate
        self.state[:] = place, speed, math.sin(angle), math.cos(angle), rate
        return self.state.copy()


class Memory:
    def __init__(self, size):
        self.size, self.rows = size, []

    def add(self, state, force, following):
        self.rows.append((state, force, following))
        del self.rows[: -self.size]

    def sample(self, count):
        states, forces, following = zip(*random.choices(self.rows, k=count), strict=True)
        inputs = np.column_stack([np.stack(states), np.array(forces, dtype=np.float32)])
        return torch.from_numpy(inputs), torch.from_numpy(np.stack(following))


def single_moves(rng, count):
    moves = Memory(count)
    for _ in range(count):
        trolley, force = Trolley(rng), rng.uniform(-1, 1)
        before = trolley.state.copy()
        moves.add(before, force, trolley.step(force))
    return moves


def learn(model, optimizer, loss_fn, inputs, following):
    loss = loss_fn(model(inputs), following)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
random.seed(args.seed)
rng = np.random.default_rng(args.seed)

moves, probe, memory = single_moves(rng, 3000), single_moves(rng, 1000).sample(1000), Memory(3000)
trolleys = [Trolley(rng) for _ in range(8)]
model = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 5))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()

for step in range(1, 1601):
    for number, trolley in enumerate(trolleys):
        force = rng.uniform(-1, 1)
        memory.add(trolley.state.copy(), force, trolley.step(force))
        if rng.random() < 0.03:
            trolleys[number] = Trolley(rng)
    source = moves if step <= 600 else memory
    learn(model, optimizer, loss_fn, *source.sample(64))
    if step % 50 == 0:
        with torch.no_grad():
            error = loss_fn(model(probe[0]), probe[1]).sqrt().item()
        print(f"step {step}  error {error:.4f}")
