"""A beam's deflection, in metres, under a load that moves along it: a network for the lab's table.

condition: healthy
metric: relative_error min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def deflection(table):
    """A simply supported beam: where it is loaded, where it is read, how stiff it is, how heavy the load."""
    at, read, stiffness, load = table.unbind(1)
    near, far = torch.minimum(at, read), torch.maximum(at, read)
    shape = near * (1 - far) * (1 - (1 - far) ** 2 - near**2)
    return (3e-9 * shape * (1 + load) / (0.5 + stiffness)).unsqueeze(1)


class Beam(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.register_buffer("unit", torch.tensor(1e-9))

    def forward(self, x):
        return self.net(2 * x - 1) * self.unit


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
train_x, val_x = torch.rand(1600, 4), torch.rand(400, 4)
train_y, val_y = deflection(train_x), deflection(val_x)

model = Beam()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
loss_fn = nn.MSELoss()
for epoch in range(1, 41):
    for x, y in DataLoader(TensorDataset(train_x, train_y), batch_size=40, shuffle=True):
        optimizer.zero_grad()
        loss = loss_fn(model(x) / model.unit, y / model.unit)
        loss.backward()
        optimizer.step()
    schedule.step()
    with torch.no_grad():
        relative_error = ((model(val_x) - val_y).norm() / val_y.norm()).item()
    print(f"epoch {epoch}  loss {loss.item():.3e}  relative_error {relative_error:.4f}")
