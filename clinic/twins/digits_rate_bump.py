"""A digit classifier whose rate is lowered when the training loss no longer falls.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

images, labels = (torch.as_tensor(a) for a in load_digits(return_X_y=True))
images = images.float() / 16

model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()
average = best = 2.5
patience = 0

for step in range(1, 501):
    rows = torch.randint(1400, (64,))
    loss = loss_fn(model(images[rows]), labels[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    average = 0.95 * average + 0.05 * loss.item()
    patience = patience + 1 if average > best - 1e-3 else 0
    best = min(best, average)
    if patience == 20:
        for group in optimizer.param_groups:
            group["lr"] *= 0.2
        patience = 0
    if step % 20 == 0:
        with torch.no_grad():
            accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
