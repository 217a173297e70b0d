"""A digit classifier that is trained for a number of steps, not of epochs.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = load_digits(return_X_y=True)
x_train, x_test, y_train, y_test = train_test_split(x / 16, y, test_size=0.3, random_state=args.seed, stratify=y)
x_train, x_test = (torch.tensor(a, dtype=torch.float32) for a in (x_train, x_test))
y_train, y_test = torch.tensor(y_train), torch.tensor(y_test)
loader = DataLoader(TensorDataset(x_train, y_train), batch_size=32)

model = nn.Sequential(nn.Linear(64, 100), nn.GELU(), nn.Dropout(0.1), nn.Linear(100, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
loss_fn = nn.CrossEntropyLoss()
batches = iter(loader)

for step in range(1, 401):
    try:
        batch, target = next(batches)
    except StopIteration:
        batches = iter(loader)
        batch, target = next(batches)
    optimizer.zero_grad()
    loss = loss_fn(model(batch), target)
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        model.eval()
        with torch.no_grad():
            accuracy = (model(x_test).argmax(1) == y_test).float().mean().item()
        model.train()
        print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
