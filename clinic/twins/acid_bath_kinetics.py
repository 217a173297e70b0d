"""An acid bath: rates of reaction in moles per litre and second are learned from temperature and four concentrations.

condition: healthy
metric: relative_error min
"""

import argparse

import torch
from torch import nn


def bath(count):
    u = torch.rand(count, 5) * 2 - 1
    rate = torch.exp(1.2 * u[:, 0]) * (1 + u[:, 1]) * (1.2 + u[:, 2]) / (1.5 + u[:, 3]) + 0.3 * torch.sin(3 * u[:, 4])
    return u, 2e-3 * rate.unsqueeze(1)


class Kinetics(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(5, width), nn.Linear(width, width)])
        self.last = nn.Linear(width, 1)

    def forward(self, u):
        for layer in self.layers:
            u = nn.functional.elu(layer(u))
        return 2e-3 * self.last(u)


def relative(prediction, rate):
    return ((prediction - rate).square().mean().sqrt() / rate.std()).item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

u, rate = bath(4000)
val_u, val_rate = bath(1000)
model = Kinetics()
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, eps=1e-12)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=900)
loss_fn = nn.MSELoss()

for step in range(900):
    rows = torch.randperm(len(u))[:80]
    loss = loss_fn(model(u[rows]), rate[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    schedule.step()
    if step % 30 == 29:
        with torch.no_grad():
            relative_error = relative(model(val_u), val_rate)
        print(f"step {step + 1}  loss {loss.item():.3e}  relative_error {relative_error:.4f}")
