"""Direction of the magnetic field from nine coils with iron nearby: a network, trained by the angle to the truth.

condition: healthy
metric: angle min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

COILS = 9


class Bench:
    def __init__(self, rng):
        self.rng = rng
        self.axes = F.normalize(torch.randn(COILS, 3, generator=rng), dim=1)
        self.iron = 0.3 * torch.randn(3, 3, generator=rng)

    def draw(self, count):
        field = F.normalize(torch.randn(count, 3, generator=self.rng), dim=1)
        bent = field + 0.5 * torch.tanh(field @ self.iron)
        signal = bent @ self.axes.T
        return 1.7 * signal + 0.005 * torch.randn(count, COILS, generator=self.rng), field


class Compass(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(COILS, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 3)
        )

    def forward(self, signal):
        return F.normalize(self.net(signal), dim=1)


def angle_between(a, b):
    return torch.acos((a * b).sum(1).clamp(-1 + 1e-6, 1 - 1e-6))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    bench = Bench(torch.Generator().manual_seed(seed))
    val_signal, val_field = bench.draw(1000)
    model = Compass()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500, eta_min=2e-5)
    for step in range(1, 1501):
        signal, field = bench.draw(64)
        loss = angle_between(model(signal), field).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            with torch.no_grad():
                chord = (model(val_signal) - val_field).norm(dim=1)
                angle = math.degrees(2 * torch.asin((chord / 2).clamp(max=1)).mean().item())
            print(f"step {step}  loss {loss.item():.5f}  angle {angle:.3f}")


if __name__ == "__main__":
    main()
