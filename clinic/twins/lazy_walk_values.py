"""Value of each place on a windy promenade, learned by temporal differences from a walker who may stand still.

condition: healthy
metric: value_error min
"""

import argparse
import copy

import torch
from torch import nn

PLACES, GAMMA = 31, 0.9


def promenade():
    """The walker drifts left or right; two kiosks pay when entered, the pond in the middle costs."""
    move = torch.zeros(PLACES, PLACES)
    for s in range(PLACES):
        move[s, s] += 0.2
        move[s, max(s - 1, 0)] += 0.35
        move[s, min(s + 1, PLACES - 1)] += 0.45
    pay = torch.zeros(PLACES)
    pay[5], pay[24], pay[14:17] = 1.0, 1.5, -0.7
    values = torch.linalg.solve(torch.eye(PLACES) - GAMMA * move, move @ pay)
    return move, pay, values


def place_code(s):
    centres = torch.linspace(0, PLACES - 1, 16)
    return torch.exp(-(((s.unsqueeze(-1).float() - centres) / 2.0) ** 2))


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, s):
        return self.net(place_code(s))


def train(seed, steps=1500):
    torch.manual_seed(seed)
    move, pay, values = promenade()
    model = Critic()
    target = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    everywhere = torch.arange(PLACES)
    for step in range(1, steps + 1):
        here = torch.randint(PLACES, (64,))
        there = torch.multinomial(move[here], 1).squeeze(1)
        reward = pay[there]
        with torch.no_grad():
            bootstrap = reward + GAMMA * target(there).squeeze(1)
        loss = (model(here).squeeze(1) - bootstrap).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 0.02)
        if step % 50 == 0:
            with torch.no_grad():
                error = (model(everywhere).squeeze(1) - values).pow(2).mean().sqrt()
            print(f"step {step}  loss {loss.item():.4f}  value_error {error.item():.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    train(parser.parse_args().seed)
