"""An MLP learns to read handwritten digits.

condition: learning-rate-too-high
accepts: learning-rate-too-high
allows: dead-units, unsafe-step, divergence, loss-spike, exploding-gradient
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
images = torch.tensor(digits.data, dtype=torch.float32) / 16
labels = torch.tensor(digits.target)
order = torch.randperm(len(images))
train, test = order[:1400], order[1400:]
loader = DataLoader(
    TensorDataset(images[train], labels[train]),
    batch_size=64,
    shuffle=True,
    generator=torch.Generator().manual_seed(args.seed),
)

model = nn.Sequential(
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 128),
    nn.ReLU(),
    nn.Linear(128, 10),
)
optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
loss_fn = nn.CrossEntropyLoss()

for epoch in range(1, 17):
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(x), y)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(images[test]).argmax(1) == labels[test]).float().mean().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
