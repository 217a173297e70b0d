"""Inverse kinematics of an arm with two elbows: a mixture density network gives the angles that reach a point.

condition: healthy
metric: val_nll min
"""

import argparse
import math

import torch
from torch import nn

UPPER, LOWER, COMPONENTS = 1.0, 0.7, 6


def reach(angles):
    shoulder, elbow = angles.unbind(-1)
    x = UPPER * shoulder.cos() + LOWER * (shoulder + elbow).cos()
    y = UPPER * shoulder.sin() + LOWER * (shoulder + elbow).sin()
    return torch.stack([x, y], -1)


def trials(n):
    """Shoulder in (-1, 1), elbow in (-2.2, 2.2); a few readings of the encoders are plainly off."""
    angles = torch.rand(n, 2) * torch.tensor([2.0, 4.4]) - torch.tensor([1.0, 2.2])
    points = reach(angles) + 0.01 * torch.randn(n, 2)
    off = (torch.rand(n, 1) < 0.002) * torch.randn(n, 2)
    return points, angles + off


class MixtureDensity(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()
        )
        self.share = nn.Linear(width, COMPONENTS)
        self.centre = nn.Linear(width, 2 * COMPONENTS)
        self.spread = nn.Linear(width, 2 * COMPONENTS)

    def forward(self, points):
        h = self.body(points)
        centre = self.centre(h).unflatten(-1, (COMPONENTS, 2))
        spread = nn.functional.softplus(self.spread(h)).unflatten(-1, (COMPONENTS, 2)) + 1e-3
        return self.share(h), centre, spread


class MixtureNLL(nn.Module):
    def forward(self, output, angles):
        share, centre, spread = output
        z = (angles[:, None] - centre) / spread
        log_density = (-0.5 * z**2 - spread.log() - 0.5 * math.log(2 * math.pi)).sum(-1)
        return -torch.logsumexp(share.log_softmax(-1) + log_density.clamp(min=-60), -1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    model, loss_fn = MixtureDensity(), MixtureNLL()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    clean = torch.rand(600, 2) * torch.tensor([2.0, 4.4]) - torch.tensor([1.0, 2.2])
    val_points = reach(clean)
    for step in range(1, args.steps + 1):
        points, angles = trials(128)
        loss = loss_fn(model(points), angles)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                val_nll = loss_fn(model(val_points), clean).item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
