"""The law of motion of a driven swing, learned by unrolling: the rollouts grow longer as the model improves.

condition: bptt-explosion
accepts: bptt-explosion, exploding-gradient
allows: exploding-gradient, divergence, loss-spike, unsafe-step, learning-rate-too-high, stalled,
  saturated-units
metric: val_error min
"""

import argparse
import math

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
DT = 0.1


def push(t):
    return 1.6 * torch.cos(2 / 3 * t)


def acceleration(angle, speed, t):
    return -2.0 * torch.sin(angle) - 0.1 * speed + push(t)


def unroll(law, angle, speed, t, steps):
    path = []
    for _ in range(steps):
        speed = speed + DT * law(angle, speed, t)
        angle = angle + DT * speed
        t = t + DT
        path.append(torch.cat([angle, speed], 1))
    return torch.stack(path, 1)


class SwingLaw(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))

    def forward(self, angle, speed, t):
        return 2 * self.net(torch.cat([torch.sin(angle), torch.cos(angle), speed / 2], 1)) + push(t)


def draw(count, steps):
    angle, speed = math.pi * (2 * torch.rand(count, 1) - 1), torch.randn(count, 1) * 1.5
    t = 10 * torch.rand(count, 1)
    with torch.no_grad():
        path = unroll(acceleration, angle, speed, t, steps)
    return angle, speed, t, path + 0.01 * torch.randn_like(path)


model = SwingLaw()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
*val_start, val_path = draw(200, 20)
horizon = 4

for step in range(1, 401):
    angle, speed, t, path = draw(32, horizon)
    loss = (unroll(model, angle, speed, t, horizon) - path).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 40 == 0:
        horizon = min(2 * horizon, 80)
    if step % 20 == 0:
        with torch.no_grad():
            val_error = (unroll(model, *val_start, 20) - val_path).abs().mean().item()
        print(f"step {step}  horizon {horizon}  loss {loss.item():.4f}  val_error {val_error:.4f}")
