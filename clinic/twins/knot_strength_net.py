"""Breaking load of knots in rope by a deep residual network over what was measured on each knot.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn


def knots(n, g):
    x = torch.randn(n, 12, generator=g)
    y = torch.sin(x[:, 0] * 1.5) + x[:, 1] * torch.sigmoid(3 * x[:, 2]) - 0.5 * (x[:, 3] + x[:, 4]).abs()
    return x, y.unsqueeze(1) + 0.1 * torch.randn(n, 1, generator=g)


class Block(nn.Module):
    def __init__(self, width, depth):
        super().__init__()
        self.a, self.b = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.kaiming_normal_(self.a.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.b.weight, nonlinearity="relu")
        nn.init.zeros_(self.b.weight)

    def forward(self, x):
        return x + self.b(torch.relu(self.a(torch.relu(x))))


class KnotNet(nn.Module):
    def __init__(self, width=48, depth=12):
        super().__init__()
        self.enter = nn.Linear(12, width)
        self.blocks = nn.ModuleList(Block(width, depth) for _ in range(depth))
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        x = self.enter(x)
        for block in self.blocks:
            x = block(x)
        return self.leave(torch.relu(x))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)
x, y = knots(3000, g)
val_x, val_y = knots(1000, g)
model = KnotNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-3, total_steps=600)
loss_fn = nn.SmoothL1Loss()
for step in range(600):
    rows = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 30 == 29:
        with torch.no_grad():
            print(f"step {step + 1}  loss {loss.item():.4f}  val_loss {loss_fn(model(val_x), val_y).item():.4f}")
