"""Depth of a buried pipe from a magnetometer's profile; a second site's recordings join when the first is learned.

condition: unscaled-inputs
accepts: unscaled-inputs, bad-batch
allows: bad-batch, divergence, loss-spike, dead-units, exploding-gradient, unsafe-step, learning-rate-too-high,
  saturated-units, opposing-outliers
metric: val_loss min
"""

import argparse

import torch
from torch import nn

STATIONS = 32


def profiles(n, gen, nanotesla=False):
    """Anomaly of a horizontal dipole line along a walk of 32 stations, in microtesla or in nanotesla."""
    depth = 0.5 + 2.5 * torch.rand(n, 1, generator=gen)
    at = 4 * torch.rand(n, 1, generator=gen) - 2
    moment = 1.5 + torch.rand(n, 1, generator=gen)
    x = torch.linspace(-5, 5, STATIONS) - at
    field = moment * (depth.square() - x.square()) / (depth.square() + x.square()).square()
    field = torch.asinh(3 * field) + 0.08 * torch.randn(n, STATIONS, generator=gen)
    target = (depth.squeeze(1) - 1.75) / 0.72
    return (1000 * field if nanotesla else field), target


class DepthNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(1, 16, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(16, 32, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(32 * STATIONS // 4, 48), nn.ReLU(), nn.Linear(48, 1))

    def forward(self, profile):
        return self.fc(self.conv(profile.unsqueeze(1))).squeeze(1)


def train():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = profiles(600, gen)
    model, loss_fn = DepthNet(), nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(1, 801):
        x, y = profiles(48, gen)
        if step > 400:
            x2, y2 = profiles(16, gen, nanotesla=True)
            x, y = torch.cat([x, x2]), torch.cat([y, y2])
            optimizer.param_groups[0]["lr"] = 1e-3 * (0.1 + 0.9 * (800 - step) / 400)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            model.eval()
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            model.train()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


train()
