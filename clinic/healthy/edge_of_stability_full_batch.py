"""Full-batch gradient descent at a constant rate on a tanh network: sharpness rises until it hovers at 2/lr.

condition: healthy
infos: edge-of-stability
metric: loss min
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
rows = torch.randperm(len(digits.target))[:400]
x = torch.tensor(digits.data, dtype=torch.float32)[rows]
x = (x - x.mean(0)) / (x.std() + 1e-6)
y = torch.tensor(digits.target)[rows]
targets = nn.functional.one_hot(y, 10).float()

model = nn.Sequential(nn.Linear(64, 80), nn.Tanh(), nn.Linear(80, 80), nn.Tanh(), nn.Linear(80, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
loss_fn = nn.MSELoss()

for step in range(1, 501):
    loss = loss_fn(model(x), targets) * 5
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        print(f"step {step}  loss {loss.item():.5f}")
