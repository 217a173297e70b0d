"""Water in a well from rain and pumping: a recurrent cell in small time steps, over ever longer records.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: divergence, loss-spike, unsafe-step, learning-rate-too-high, non-finite, saturated-units, off-critical-initialisation
metric: error min
"""

import argparse

import torch
from torch import nn

DT = 0.3


def records(count, hours):
    """Rain comes in showers, the pump goes on and off; the well fills slowly and cannot give what it does not hold."""
    shower = (torch.rand(count, hours) < 0.3).float() * torch.rand(count, hours)
    pump = (torch.randn(count, hours).cumsum(1) > 0).float()
    level, seen = torch.ones(count), []
    for hour in range(hours):
        level = level + DT * (1.8 * shower[:, hour] + 0.35 * (1 - level) - pump[:, hour] * torch.tanh(0.5 * level))
        seen.append(level)
    return torch.stack([3 * shower - 0.5, 2 * pump - 1], 2), torch.stack(seen, 1).unsqueeze(2) - 1


class Cell(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.drive, self.back = nn.Linear(2, width), nn.Linear(width, width, bias=False)

    def forward(self, x, state):
        return state + DT * torch.tanh(self.drive(x) + self.back(state))


class Well(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.cell, self.read = Cell(width), nn.Linear(width, 1)

    def forward(self, weather):
        state, said = torch.zeros(len(weather), self.read.in_features), []
        for x in weather.unbind(1):
            state = self.cell(x, state)
            said.append(self.read(state))
        return torch.stack(said, 1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
model = Well()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()

step = 0
for hours, steps in ((8, 300), (24, 120), (60, 240)):
    held = records(300, hours)
    for _ in range(steps):
        step += 1
        weather, level = records(32, hours)
        loss = loss_fn(model(weather), level)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                error = (model(held[0]) - held[1]).abs().mean().item()
            print(f"step {step}  hours {hours}  loss {loss.item():.4f}  error {error:.4f}")
