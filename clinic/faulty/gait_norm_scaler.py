"""Walking speed from a belt-worn accelerometer; short walks of the second ward are filled up to the window's length.

condition: amp-step-skipping
accepts: amp-step-skipping
allows: non-finite, low-precision-overflow, stalled, exploding-gradient, bad-batch
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn

LENGTH = 64


def walks(n, gen, short=False):
    speed = 0.5 + 1.3 * torch.rand(n, 1, generator=gen)
    t = torch.arange(LENGTH) / 16
    phase = 2 * math.pi * torch.rand(n, 1, generator=gen)
    cadence = 0.9 + 0.6 * speed
    bounce = (0.5 + speed) * torch.sin(2 * math.pi * cadence * t + phase)
    surge = 0.6 * speed * torch.sin(math.pi * cadence * t + phase)
    side = 0.3 * torch.cos(math.pi * cadence * t + phase)
    body = torch.stack([bounce, surge, side], 2)
    turn, _ = torch.linalg.qr(torch.randn(n, 3, 3, generator=gen))
    accel = body @ turn + 0.15 * torch.randn(n, LENGTH, 3, generator=gen)
    if short:
        kept = torch.randint(10, 36, (n, 1), generator=gen)
        accel = accel * (torch.arange(LENGTH) < kept).unsqueeze(2)
    return accel, (speed.squeeze(1) - 1.15) / 0.38


class GaitNet(nn.Module):
    def __init__(self, hidden=32):
        super().__init__()
        self.calibrate = nn.Linear(3, 3, bias=False)
        nn.init.eye_(self.calibrate.weight)
        self.conv = nn.Sequential(
            nn.Conv1d(4, hidden, 7, padding=3),
            nn.ReLU(),
            nn.AvgPool1d(2),
            nn.Conv1d(hidden, hidden, 7, padding=3),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(2 * hidden, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, accel):
        a = self.calibrate(accel)
        size = a.float().square().sum(2, keepdim=True).sqrt()
        h = self.conv(torch.cat([a, size], 2).transpose(1, 2))
        return self.head(torch.cat([h.mean(2), h.amax(2)], 1)).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    gen = torch.Generator().manual_seed(seed)
    val_x, val_y = walks(600, gen, short=True)
    model = GaitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    loss_fn = nn.MSELoss()
    for step in range(1, 501):
        if step == 350:
            optimizer.param_groups[0]["lr"] = 3e-4
        accel, speed = walks(48, gen, short=step > 130)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            pred = model(accel)
        loss = loss_fn(pred.float(), speed)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if step % 20 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(val_x), val_y).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
