"""Layers that multiply two linear maps of their input learn a polynomial of six variables; Huber loss, RMSprop.

condition: exploding-gradient
accepts: exploding-gradient, off-critical-initialisation
allows: non-finite, divergence, unsafe-step, learning-rate-too-high, loss-spike, stalled
metric: loss min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x = torch.randn(2000, 6)
y = x[:, 0] * x[:, 1] - x[:, 2] * x[:, 3] * x[:, 4] + 0.5 * x[:, 5] ** 2


class Product(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.left = nn.Linear(inputs, outputs)
        self.right = nn.Linear(inputs, outputs)
        for layer in (self.left, self.right):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def forward(self, x):
        return self.left(x) * self.right(x)


model = nn.Sequential(Product(6, 32), Product(32, 32), Product(32, 32), Product(32, 32), nn.Linear(32, 1))
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3)
loss_fn = nn.HuberLoss()

running = 0.0
for step in range(1, 501):
    batch = torch.randint(len(x), (128,))
    loss = loss_fn(model(x[batch]).squeeze(1), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 20 == 0:
        print(f"step {step}  loss {running / 20:.4f}")
        running = 0.0
