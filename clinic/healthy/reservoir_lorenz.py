"""Lorenz' weather by a fixed random reservoir: only the readout is trained.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn

UNITS, AHEAD = 200, 4


def lorenz(count, start):
    (x, y, z), path = start, []
    for k in range(5 * (count + 200)):
        x, y, z = x + 0.1 * (y - x), y + 0.01 * (x * (28 - z) - y), z + 0.01 * (x * y - 8 / 3 * z)
        if k % 5 == 0 and k >= 1000:
            path.append((x, y, z))
    path = torch.tensor(path)
    return (path - torch.tensor([0.0, 0.0, 23.5])) / torch.tensor([8.0, 9.0, 8.6])


class Reservoir(nn.Module):
    """Leaky tanh units with a spectral radius below 1; nothing in here is ever trained."""

    def __init__(self, inputs, radius=0.8, leak=0.6):
        super().__init__()
        weight = torch.randn(UNITS, UNITS) * (torch.rand(UNITS, UNITS) < 0.1)
        self.recur = nn.Parameter(weight * radius / torch.linalg.eigvals(weight).abs().max())
        self.drive = nn.Parameter(torch.rand(UNITS, inputs) - 0.5)
        self.shift = nn.Parameter(0.4 * torch.rand(UNITS) - 0.2)
        self.leak = leak
        self.requires_grad_(False)

    def forward(self, signal):
        state, states = torch.zeros(UNITS), []
        for u in signal:
            state = (1 - self.leak) * state + self.leak * torch.tanh(self.recur @ state + self.drive @ u + self.shift)
            states.append(state)
        return torch.stack(states)


def main(seed):
    torch.manual_seed(seed)
    first = torch.rand(3).tolist()
    path = lorenz(5000, [first[0], 1 + first[1], 20 + first[2]])
    reservoir = Reservoir(3)
    states = torch.cat([reservoir(path[:-AHEAD]), path[:-AHEAD]], 1)
    goal = path[AHEAD:]
    cut = 4000
    states = states - states[100:cut].mean(0)
    _, size, axes = torch.linalg.svd(states[100:cut], full_matrices=False)
    keep = size > 3e-4 * size[0]
    states = states @ axes[keep].T / size[keep] * (cut - 100) ** 0.5
    readout = nn.Linear(int(keep.sum()), 3)
    nn.init.zeros_(readout.weight)
    optimizer = torch.optim.Adam(readout.parameters(), lr=5e-3)
    steps = 1000
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(1, steps + 1):
        rows = 100 + torch.randint(cut - 100, (128,))
        loss = nn.functional.mse_loss(readout(states[rows]), goal[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                error = (readout(states[cut:]) - goal[cut:]).pow(2).mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.5f}  val_error {error:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
