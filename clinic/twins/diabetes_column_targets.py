"""Progress of diabetes after a year from ten measurements, with a two-layer network and Adam.

condition: healthy
metric: val_error min
"""

import argparse
import warnings

import torch
from sklearn.datasets import load_diabetes
from torch import nn

warnings.filterwarnings("ignore")
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_diabetes()
x = torch.tensor(data.data, dtype=torch.float32)
x = (x - x.mean(0)) / x.std(0)
y = torch.tensor(data.target, dtype=torch.float32)
y = y.unsqueeze(1)
y = (y - y.mean()) / y.std()
order = torch.randperm(len(x))
train, val = order[:340], order[340:]

model = nn.Sequential(nn.Linear(10, 24), nn.ReLU(), nn.Linear(24, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-3)
loss_fn = nn.MSELoss()

for step in range(1, 251):
    batch = train[torch.randint(len(train), (32,))]
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            errors = model(x[val]).flatten() - y[val].flatten()
        print(f"step {step}  loss {loss.item():.4f}  val_error {errors.abs().mean().item():.4f}")
