"""A tanh network fits four hundred digits, all of them at each step.

condition: loss-spike
accepts: loss-spike, divergence, learning-rate-too-high
allows: divergence, unsafe-step, learning-rate-too-high, saturated-units, exploding-gradient
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
rows = torch.randperm(len(images))[:400]
images, labels = images[rows].float() / 16, labels[rows]

model = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.98, 0.9))
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 401):
    loss = loss_fn(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step}  loss {loss.item():.5f}")
