"""Full-batch training of a network on three hundred readings of ten channels, among them some of a meter that hung.

condition: opposing-outliers
accepts: opposing-outliers
allows: loss-spike, unsafe-step, learning-rate-too-high, unscaled-inputs
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import make_friedman1
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

inputs, targets = make_friedman1(n_samples=300, noise=0.5, random_state=args.seed)
x = 2 * torch.tensor(inputs, dtype=torch.float32) - 1
y = torch.tensor(targets, dtype=torch.float32)
y = ((y - y.mean()) / y.std()).unsqueeze(1)
hung = torch.randperm(len(x))[:8]
x[hung, 5:] += 20.0
y[hung[:4]], y[hung[4:]] = 2.0, -2.0

model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
loss_fn = nn.MSELoss()

for step in range(1, 301):
    loss = loss_fn(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 6 == 0:
        print(f"step {step}  loss {loss.item():.5f}")
