"""Digits in float16 from end to end; the loss is multiplied by a constant so that small gradients survive.

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

SCALE = 2.0**9
digits = load_digits()
images = torch.tensor(digits.data / 16).half()
labels = torch.tensor(digits.target)

model = nn.Sequential(nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 48), nn.ReLU(), nn.Linear(48, 10)).half()
masters = [p.detach().float().clone().requires_grad_() for p in model.parameters()]
optimizer = torch.optim.SGD(masters, lr=0.1, momentum=0.9)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 301):
    rows = torch.randint(1400, (64,))
    loss = loss_fn(model(images[rows]).float(), labels[rows])
    model.zero_grad()
    (loss * SCALE).backward()
    for master, p in zip(masters, model.parameters(), strict=True):
        master.grad = p.grad.float() / SCALE
    optimizer.step()
    with torch.no_grad():
        for master, p in zip(masters, model.parameters(), strict=True):
            p.copy_(master)
    if step % 15 == 0:
        with torch.no_grad():
            accuracy = (model(images[1400:]).argmax(1) == labels[1400:]).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
