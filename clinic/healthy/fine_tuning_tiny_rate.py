"""A digit classifier is trained on clean images, then fine-tuned at a rate of 3e-5 on images from a dim camera.

condition: healthy
metric: val_loss min
"""

import argparse

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
order = torch.randperm(len(x))
train, val = order[:1300], order[1300:]
dim = 0.5 * x - 0.6 + 0.2 * torch.randn_like(x)

model = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 10))
loss_fn = nn.CrossEntropyLoss()


def train_on(data, optimizer, steps, report):
    for step in range(1, steps + 1):
        batch = train[torch.randint(len(train), (64,))]
        loss = loss_fn(model(data[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report and step % 10 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(data[val]), y[val]).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


train_on(x, torch.optim.Adam(model.parameters(), lr=1e-3), 200, report=False)
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5)
train_on(dim, optimizer, 400, report=True)
