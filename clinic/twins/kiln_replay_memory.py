"""A model of a kiln's next minute, learned from a growing memory of its operation under random firing.

condition: healthy
metric: forecast_error min
"""

import argparse
import random

import torch
from torch import nn


class Kiln:
    """Temperatures of fire, wall and ware, and the draught; fuel and damper are the two actions."""

    def __init__(self, rng):
        self.rng = rng
        self.reset()

    def reset(self):
        self.state = [self.rng.uniform(-1, 1) for _ in range(4)]
        return list(self.state)

    def act(self, fuel, damper):
        fire, wall, ware, draught = self.state
        burn = max(fuel, 0) * (0.6 + 0.4 * draught)
        new = [
            fire + 0.5 * burn - 0.3 * (fire - wall) - 0.2 * (fire + 1) * abs(draught),
            wall + 0.25 * (fire - wall) - 0.2 * (wall - ware) - 0.05 * (wall + 1),
            ware + 0.3 * (wall - ware) * (1 + 0.5 * draught),
            0.7 * draught + 0.3 * damper + 0.2 * fire * damper,
        ]
        self.state = [min(2.0, max(-2.0, s)) for s in new]
        return list(self.state)


class Memory:
    def __init__(self, seed):
        self.items, self.seed = [], seed

    def add(self, *item):
        self.items.append(item)

    def sample(self, size):
        picked = random.sample(self.items[:4000], size)
        now, action, after = (torch.tensor(z) for z in zip(*picked))
        return torch.cat([now, action], 1), after - now


def play(kiln, minutes):
    now = kiln.state
    for minute in range(minutes):
        if minute % 8 == 0:
            now = kiln.reset()
        action = [kiln.rng.uniform(-1, 1), kiln.rng.uniform(-1, 1)]
        after = kiln.act(*action)
        yield now, action, after
        now = after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    random.seed(seed)
    kiln, memory = Kiln(random.Random(seed + 1)), Memory(seed)
    exam = Memory(seed)
    for item in play(kiln, 1000):
        exam.add(*item)
    exam_x, exam_y = exam.sample(1000)
    model = nn.Sequential(nn.Linear(6, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for item in play(kiln, 1000):
        memory.add(*item)
    for step in range(1, 1001):
        if step <= 300:
            for item in play(kiln, 10):
                memory.add(*item)
        if step > 700:
            optimizer.param_groups[0]["lr"] = 5e-4
        x, change = memory.sample(64)
        loss = nn.functional.mse_loss(model(x), change) / 0.05
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 40 == 0:
            with torch.no_grad():
                forecast_error = (model(exam_x) - exam_y).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  forecast_error {forecast_error:.4f}")


main()
