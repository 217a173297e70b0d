"""Height of heather over a hillside; the network is kept in bfloat16 throughout under a falling rate.

condition: healthy
metric: rmse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
DTYPE = torch.float32


class Hillside(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.first, self.second = nn.Linear(6, width), nn.Linear(width, width)
        self.last = nn.Linear(width, 1)

    def forward(self, place):
        x, y = place.unbind(1)
        waves = torch.stack([x, y, (3 * x).sin(), (3 * y).cos(), (5 * x).cos(), (5 * y).sin()], 1).to(DTYPE)
        h = F.silu(self.second(F.silu(self.first(waves))))
        return self.last(h).squeeze(1).float()


def hillside(n):
    place = torch.rand(n, 2) * 2 - 1
    x, y = place.unbind(1)
    return place, torch.sin(4 * x + 2 * y) * torch.cos(3 * y) + 0.5 * x


model = Hillside().to(DTYPE)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9965)
place, height = hillside(2000)
test, truth = hillside(1000)
for step in range(1, 1001):
    rows = torch.randint(2000, (64,))
    loss = F.mse_loss(model(place[rows]), height[rows])
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 40 == 0:
        with torch.no_grad():
            rmse = F.mse_loss(model(test), truth).sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  rmse {rmse:.4f}")
