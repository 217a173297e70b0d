"""Fourteen rectified layers with normal weights of a standard deviation of 0.05 on digits; Adam.

condition: off-critical-initialisation
accepts: off-critical-initialisation
allows: vanishing-gradient, stalled, learning-rate-too-low, dead-units, epsilon-dominated-update
metric: loss min
"""

import argparse
import itertools

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
y = torch.tensor(digits.target)
width, depth = 64, 14

sizes = [64] + [width] * (depth - 1) + [10]
layers = []
for fan_in, fan_out in itertools.pairwise(sizes):
    layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
model = nn.Sequential(*layers[:-1])
for layer in model:
    if isinstance(layer, nn.Linear):
        nn.init.normal_(layer.weight, std=0.05)
        nn.init.zeros_(layer.bias)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
loss_fn = nn.CrossEntropyLoss()

running = 0.0
for step in range(1, 251):
    batch = torch.randint(len(x), (64,))
    loss = loss_fn(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    running += loss.item()
    if step % 10 == 0:
        print(f"step {step}  loss {running / 10:.4f}")
        running = 0.0
