"""Full-batch gradient descent on two hundred digits with a constant rate, long enough to sharpen.

condition: healthy
infos: edge-of-stability, unsafe-step
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
rows = torch.randperm(len(images))[:200]
images = images[rows].float() / 8 - 1
targets = nn.functional.one_hot(labels[rows], 10).float()

model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.4)
loss_fn = nn.MSELoss(reduction="none")

for step in range(1, 1501):
    loss = loss_fn(model(images), targets).sum(1).mean() / 2
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 75 == 0:
        print(f"step {step}  loss {loss.item():.5f}")
