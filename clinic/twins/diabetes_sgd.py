"""A regression on standardised data of patients (scikit-learn's diabetes set), by plain SGD.

condition: healthy
metric: r2 max
"""

import argparse

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

x, y = (torch.tensor(a, dtype=torch.float32) for a in load_diabetes(return_X_y=True))
x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
order = torch.randperm(len(x))
train, test = order[:342], order[342:]
loader = DataLoader(
    TensorDataset(x[train], y[train]), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(args.seed)
)

model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=3e-2)
loss_fn = nn.MSELoss()

for epoch in range(1, 31):
    for features, target in loader:
        loss = loss_fn(model(features).squeeze(-1), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        error = (model(x[test]).squeeze(-1) - y[test]).square().mean()
    print(f"epoch {epoch}  loss {loss.item():.4f}  r2 {1 - (error / y[test].var()).item():.4f}")
