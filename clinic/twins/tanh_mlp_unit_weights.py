"""A tanh network with standard normal weights reads standardised digits.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32)
x = (x - x.mean(0)) / (x.std(0) + 0.1)
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, val = order[:1300], order[1300:]

model = nn.Sequential(
    nn.Linear(64, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh(), nn.Linear(100, 10)
)
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    batch = train[torch.randint(len(train), (64,))]
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            val_loss = loss_fn(model(x[val]), y[val]).item()
        print(f"step {step}  train {loss.item():.4f}  val_loss {val_loss:.4f}")
