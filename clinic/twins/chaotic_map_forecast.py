"""A residual network forecasts the Hénon map four iterations ahead; its rate falls by a cosine and starts again.

condition: healthy
metric: val_error min
"""

import argparse

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def orbit(length):
    """States (length, 2) of the Hénon map after it has settled, seen with a little noise."""
    x, y = 0.1 * torch.rand(2).double()
    states = []
    for i in range(length + 100):
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
        if i >= 100:
            states.append(torch.stack([x, y / 0.3]))
    return torch.stack(states).float()


class ResidualNet(nn.Module):
    def __init__(self, width=64, depth=3):
        super().__init__()
        self.first = nn.Linear(2, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(depth)
        )
        self.last = nn.Linear(width, 2)

    def forward(self, x):
        h = torch.relu(self.first(x))
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)


states = orbit(2600)
inputs, targets = states[:-4], states[4:]
train, val = slice(0, 2000), slice(2100, None)

model = ResidualNet()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
scheduler = CosineAnnealingWarmRestarts(optimizer, T_0=90)
loss_fn = nn.MSELoss()

for step in range(1, 451):
    rows = torch.randint(2000, (64,))
    loss = loss_fn(model(inputs[train][rows]), targets[train][rows])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    scheduler.step()
    if step % 15 == 0:
        with torch.no_grad():
            val_error = loss_fn(model(inputs[val]), targets[val]).item()
        print(f"step {step}  loss {loss.item():.4f}  val_error {val_error:.4f}")
