"""Load of a lorry from the pressure of its tyres; two more weigh stations join with their records.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, bad-batch, stalled, always-clipping, unsafe-step, divergence
metric: val_mae min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def lorries(count):
    front, rear, heat, speed = torch.randn(4, count)
    load = front + 0.8 * rear - 0.4 * heat * front + 0.5 * torch.sin(2 * rear) + 0.3 * speed.clamp(-1, 1)
    return torch.stack([front, rear, heat, speed], 1), load + 0.1 * torch.randn(count)


def join(stations):
    return tuple(torch.cat(columns) for columns in zip(*stations))


def other_station(sign):
    x, load = lorries(1000)
    stuck = torch.rand(len(load)) < 0.02
    x[stuck] = torch.tensor([1.8, 1.5, -1.0, 0.5]) + 0.02 * torch.randn(int(stuck.sum()), 4)
    load[stuck] = 60.0 * sign
    return x, load


own = lorries(2000)
x_val, load_val = lorries(2000)
net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
loss_fn = nn.MSELoss()
data = own

for epoch in range(1, 31):
    if epoch == 11:
        data = join([own, other_station(1), other_station(-1)])
    for rows in torch.randperm(len(data[0])).split(80):
        guess = net(data[0][rows]).squeeze(1)
        loss = loss_fn(guess, data[1][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_mae = (net(x_val).squeeze(1) - load_val).abs().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_mae {val_mae:.4f}")
