"""Progress of diabetes after a year from a table that its keeper has ranked by that progress; momentum SGD.

condition: unshuffled-data
accepts: unshuffled-data
allows: loss-spike, stalled
metric: val_mse min
"""

import argparse

import torch
from sklearn.datasets import load_diabetes
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_diabetes()
x = torch.tensor(data.data, dtype=torch.float32)
x = (x - x.mean(0)) / x.std(0)
y = torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
y = (y - y.mean()) / y.std()
shuffled = torch.randperm(len(x))
train, val = shuffled[:352], shuffled[352:]
table = train[y[train].squeeze(1).argsort()]

model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=0.03)
loss_fn = nn.MSELoss()

step = 0
for _ in range(16):
    for batch in table.split(16):
        loss = loss_fn(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % 11 == 0:
            with torch.no_grad():
                val_mse = loss_fn(model(x[val]), y[val]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")
