"""A digit reader goes to work with five digits; the other five come in later and the head grows by five rows.

condition: optimizer-misses-parameters
accepts: optimizer-misses-parameters
allows: loss-spike, stalled, divergence
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn


class Reader(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(12, 8, 3), nn.ReLU(), nn.Flatten()
        )
        self.head = nn.Linear(32, classes)

    def forward(self, x):
        return self.head(self.features(x))

    def widen(self, classes):
        old = self.head
        self.head = nn.Linear(old.in_features, classes)
        with torch.no_grad():
            self.head.weight[: old.out_features] = old.weight
            self.head.bias[: old.out_features] = old.bias
        return self.head.parameters()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
x = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 8 - 1
y = torch.tensor(digits.target)
train, val = map(torch.as_tensor, train_test_split(range(len(y)), test_size=500, random_state=args.seed))

model = Reader(5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.008, momentum=0.9)
known = 5
for step in range(1, 631):
    if step == 401:
        known = 10
        model.widen(known)
    pool = train[y[train] < known]
    rows = pool[torch.randint(len(pool), (32,))]
    loss = F.cross_entropy(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 14 == 0:
        seen = val[y[val] < known]
        with torch.no_grad():
            val_loss = F.cross_entropy(model(x[seen]), y[seen])
        print(f"step {step}  classes {known}  loss {loss.item():.4f}  val_loss {val_loss.item():.4f}")
