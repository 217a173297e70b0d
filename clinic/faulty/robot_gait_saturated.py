"""A robot's next joint angles from its last ones: a tanh network, whose gain is learned as well; weights decay not.

condition: saturated-units
accepts: saturated-units, learning-rate-too-high, unsafe-step
allows: vanishing-gradient, stalled, loss-spike, divergence
metric: val_error min
"""

import argparse

import torch
from torch import nn


class Gain(nn.Module):
    """tanh(exp(s) x), with a gain of its own for each layer."""

    def __init__(self):
        super().__init__()
        self.log_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.tanh(self.log_gain.exp() * x)


class GaitNet(nn.Module):
    def __init__(self, joints=6, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(2 * joints, width), Gain(), nn.Linear(width, width), Gain(), nn.Linear(width, joints)
        )

    def forward(self, now, before):
        return now + self.net(torch.cat([now, 4 * (now - before)], 1))


def gaits(count, joints=6):
    phase = 6.3 * torch.rand(count, 1)
    speed = 0.3 + 0.5 * torch.rand(count, 1)
    offset = torch.arange(joints) * 1.05

    def pose(t):
        turn = phase + speed * t + offset
        return torch.sin(turn) + 0.3 * torch.sin(2 * turn + offset)

    return pose(0.0), pose(-1.0), pose(2.0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = GaitNet()
    gains = [p for name, p in model.named_parameters() if name.endswith("log_gain")]
    weights = [p for name, p in model.named_parameters() if not name.endswith("log_gain")]
    optimizer = torch.optim.Adam([{"params": weights, "lr": 1e-3}, {"params": gains, "lr": 1e-3}])
    loss_fn = nn.MSELoss()
    val_now, val_before, val_after = gaits(400)
    for step in range(1, 401):
        if step == 120:
            for group in optimizer.param_groups:
                group["lr"] = 0.5
        now, before, after = gaits(64)
        loss = loss_fn(model(now, before), after)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 123:
            for group in optimizer.param_groups:
                group["lr"] = 1e-3
        if step % 10 == 0:
            with torch.no_grad():
                val_error = (model(val_now, val_before) - val_after).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")


main()
