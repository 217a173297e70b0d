"""Cultivar of a wine from thirteen chemical measurements, with a small tanh network and Adam.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: saturated-units, stalled
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_wine
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

wine = load_wine()
x = torch.tensor(wine.data, dtype=torch.float32)
y = torch.tensor(wine.target)
order = torch.randperm(len(x))
train, val = order[:120], order[120:]

model = nn.Sequential(nn.Linear(13, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 301):
    batch = train[torch.randint(len(train), (32,))]
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        model.eval()
        with torch.no_grad():
            val_loss = loss_fn(model(x[val]), y[val]).item()
        model.train()
        print(f"step {step}  train {loss.item():.4f}  val_loss {val_loss:.4f}")
