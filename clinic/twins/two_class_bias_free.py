"""Malign or benign: a network without biases on the cells of 260 patients, all at once, trained for a long time.

condition: healthy
metric: surprise min
"""

import argparse

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

table = load_breast_cancer()
order = np.random.default_rng(args.seed).permutation(len(table.target))
seen, unseen = order[:260], order[260:]
scaler = StandardScaler().fit(table.data[seen])
x = torch.tensor(scaler.transform(table.data), dtype=torch.float32)
y = torch.tensor(table.target)

model = nn.Sequential(
    nn.Linear(30, 48, bias=False),
    nn.LeakyReLU(0.1),
    nn.Linear(48, 48, bias=False),
    nn.LeakyReLU(0.1),
    nn.Linear(48, 2, bias=False),
)
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=3.0)
loss_fn = nn.CrossEntropyLoss()

for step in range(1, 901):
    loss = loss_fn(model(x[seen]), y[seen])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        with torch.no_grad():
            chances = model(x[unseen]).double().softmax(1).numpy()
        surprise = log_loss(table.target[unseen], chances)
        right = (chances.argmax(1) == table.target[unseen]).mean()
        print(f"step {step}  loss {loss.item():.3e}  surprise {surprise:.4f}  right {right:.3f}")
