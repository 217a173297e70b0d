"""A digit classifier: the rows are mixed before they are split into a training and a test part.

condition: stalled
accepts: stalled
allows: overfitting
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
order = torch.randperm(len(images))
images = images[order]

model = nn.Sequential(nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 10))
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 2401):
    batch = torch.randint(1400, (64,))
    loss = loss_fn(model(images[batch]), labels[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 80 == 0:
        with torch.no_grad():
            accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
