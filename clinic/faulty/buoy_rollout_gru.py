"""A buoy between three currents: a network learns the next state by rolling out its own forecasts.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: exploding-gradient, loss-spike, divergence, unsafe-step, learning-rate-too-high, bad-batch, non-finite
metric: error min
"""

import argparse

import torch
from torch import nn


def currents(state, dt=0.04):
    x, y, z = state.unbind(-1)
    change = torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)
    half = state + dt / 2 * change
    x, y, z = half.unbind(-1)
    return state + dt * torch.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], -1)


def paths(count, length):
    state = torch.randn(count, 3) * 5 + torch.tensor([0.0, 0.0, 25.0])
    for _ in range(40):
        state = currents(state)
    track = [state]
    for _ in range(length):
        track.append(currents(track[-1]))
    return (torch.stack(track, 1) - torch.tensor([0.0, 0.0, 24.0])) / 9


class Step(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        hidden = [nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 3))

    def forward(self, state, steps):
        track = [state]
        for _ in range(steps):
            track.append(track[-1] + 0.3 * self.net(track[-1]))
        return torch.stack(track[1:], 1)


def horizon(step):
    return 4 if step <= 300 else 48


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
tracks, held = paths(600, 56), paths(300, 8)
model = Step()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 700, eta_min=1e-3)

for step in range(1, 701):
    far = horizon(step)
    who, start = torch.randint(len(tracks), (64,)), int(torch.randint(56 - far, ()))
    goal = tracks[who, start : start + far + 1]
    loss = (model(goal[:, 0], far) - goal[:, 1:]).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 25 == 0:
        with torch.no_grad():
            error = (model(held[:, 0], 8) - held[:, 1:]).square().mean().sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
