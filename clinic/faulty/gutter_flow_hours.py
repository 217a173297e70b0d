"""Rain at a gauge, hour by hour: a network with a square-root link; months are added to its data as they come in.

condition: non-finite
accepts: non-finite
allows: exploding-gradient, loss-spike, divergence
metric: val_loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def hours(count, months):
    month = torch.randint(months, (count,)) / 12
    sky = torch.rand(count, 4) * 2 - 1
    wet = 3.5 + 1.5 * torch.cos(6.283 * month) + torch.sin(3 * sky[:, 0]) + sky[:, 1] * sky[:, 2]
    wet = wet + 0.4 * torch.randn(count) - 2.6 * (month > 0.3) * (month < 0.7)
    x = torch.cat([sky, torch.cos(6.283 * month)[:, None], torch.sin(6.283 * month)[:, None]], 1)
    return x, wet.clamp(min=0).sqrt()


class Gauge(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(6, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1)
        )
        nn.init.constant_(self.net[-1].bias, 4.0)

    def forward(self, x):
        h = self.net(x).squeeze(1)
        return torch.where(h > 0, torch.sqrt(h), torch.zeros_like(h))


model = Gauge()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-3)
loss_fn = nn.MSELoss()
x, y = hours(3000, 3)
val_x, val_y = hours(2000, 12)

for step in range(1, 901):
    if step % 150 == 0 and step <= 600:
        months = 3 + 9 * step // 600
        x, y = hours(3000 + 1000 * step // 150, months)
    rows = torch.randint(len(x), (80,))
    loss = loss_fn(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 30 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(val_x), val_y).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
