"""Strength of bricks from eight settings of a kiln, with an optimiser written for the purpose.

condition: divergence
accepts: divergence, learning-rate-too-high
allows: loss-spike, exploding-gradient, unsafe-step, dead-units, non-finite
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.optim import Optimizer


class HeavyBall(Optimizer):
    def __init__(self, params, lr=1e-2, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "velocity" not in state:
                    state["velocity"] = torch.zeros_like(p)
                velocity = state["velocity"]
                velocity.add_(p.grad, alpha=1 - group["momentum"])
                p.sub_(velocity, alpha=group["lr"])


class Kiln:
    def __init__(self):
        self.mix = torch.randn(8, 3)

    def bricks(self, count):
        settings = torch.randn(count, 8)
        hidden = settings @ self.mix / 8**0.5
        strength = torch.sin(1.5 * hidden[:, 0]) + hidden[:, 1] * hidden[:, 2]
        return settings, (strength + 0.1 * torch.randn(count)).unsqueeze(1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
kiln = Kiln()
val_settings, val_strength = kiln.bricks(500)
model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = HeavyBall(model.parameters(), lr=0.03)
loss_fn = nn.MSELoss()

for step in range(1, 551):
    settings, strength = kiln.bricks(32)
    loss = loss_fn(model(settings), strength)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_settings), val_strength).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
