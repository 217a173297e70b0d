"""A tower of residual blocks predicts a smooth function of ten numbers (Friedman's first) with momentum SGD.

condition: healthy
metric: mse min
"""

import argparse

import torch
from sklearn.datasets import make_friedman1
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

inputs, targets = make_friedman1(n_samples=1200, noise=0.5, random_state=args.seed)
x = torch.tensor(inputs, dtype=torch.float32) * 2 - 1
y = torch.tensor(targets, dtype=torch.float32).unsqueeze(1)
y = (y - y.mean()) / y.std()
depth, width = 24, 48


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)
        for layer in (self.inner, self.outer):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.outer.weight)

    def forward(self, x):
        return x + self.outer(torch.relu(self.inner(x)))


model = nn.Sequential(nn.Linear(10, width), *[Block() for _ in range(depth)], nn.Linear(width, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=2e-3, momentum=0.9)
loss_fn = nn.MSELoss()

running = 0.0
for step in range(1, 301):
    batch = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  mse {running / 10:.4f}")
        running = 0.0
