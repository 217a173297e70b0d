"""Digits from a hundred and fifty examples, some of them labelled in a hurry; a wide network and Adam.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.data, dtype=torch.float32) / 8 - 1
y = torch.tensor(digits.target)
order = torch.randperm(len(x))
train, val = order[:150], order[1000:]
hurried = train[torch.rand(len(train)) < 0.25]
y[hurried] = torch.randint(10, (len(hurried),))

model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=0.03)

for epoch in range(1, 91):
    model.train()
    for batch in train[torch.randperm(len(train))].split(25):
        loss = F.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        val_loss = F.cross_entropy(model(x[val]), y[val]).item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
