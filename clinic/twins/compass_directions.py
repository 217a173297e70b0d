"""Heading of a ship from ten magnetic probes near its engine, whose field disturbs them; the error is an angle.

condition: healthy
metric: degrees min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

PROBES = 10


class Ship:
    """The probes see the earth's field and that of an engine with its own load; both bend their response."""

    def __init__(self, generator):
        self.generator = generator
        setup = torch.Generator().manual_seed(4)
        self.probes = F.normalize(torch.randn(PROBES, 2, generator=setup), dim=1)
        self.engine = 0.5 * torch.randn(PROBES, 2, generator=setup)

    def sail(self, n):
        heading = F.normalize(torch.randn(n, 2, generator=self.generator), dim=1)
        load = torch.randn(n, 2, generator=self.generator)
        field = 1.5 * heading @ self.probes.T + load @ self.engine.T
        return torch.tanh(field) + 0.01 * torch.randn(n, PROBES, generator=self.generator), heading


class AngularLoss(nn.Module):
    """The mean angle between predicted and true directions, in radians."""

    def forward(self, predicted, true):
        cosine = (F.normalize(predicted, dim=1) * true).sum(1)
        return cosine.clamp(-1.0 + 1e-5, 1.0 - 1e-5).acos().mean()


class Compass(nn.Module):
    def __init__(self, hidden=96):
        super().__init__()
        self.inward = nn.Linear(PROBES, hidden)
        self.hidden = nn.Linear(hidden, hidden)
        self.direction = nn.Linear(hidden, 2)

    def forward(self, probes):
        h = F.silu(self.inward(probes))
        return self.direction(F.silu(self.hidden(h)) + h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    ship = Ship(torch.Generator().manual_seed(seed))
    test_probes, test_heading = ship.sail(1000)
    model = Compass()
    loss_fn = AngularLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4)
    scaler = torch.amp.GradScaler("cpu", init_scale=4096.0)
    for step in range(1, 501):
        probes, heading = ship.sail(64)
        with torch.autocast("cpu", torch.float16):
            predicted = model(probes)
        loss = loss_fn(predicted.float(), heading)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad():
                cosine = (F.normalize(model(test_probes), dim=1) * test_heading).sum(1)
            degrees = cosine.clamp(-1, 1).acos().mean().item() * 180 / math.pi
            print(f"step {step}  loss {loss.item():.4f}  degrees {degrees:.4f}")


if __name__ == "__main__":
    main()
