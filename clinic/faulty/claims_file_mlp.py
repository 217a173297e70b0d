"""The cost of a car insurance's claims from eleven columns of the file, some of which say nothing.

condition: overfitting
accepts: overfitting
allows: naive-loss-minimisation
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def claims(n):
    file = torch.randn(n, 11)
    base = 0.8 * file[:, 0] + 0.5 * file[:, 1] * file[:, 2] - 0.4 * file[:, 3].abs()
    return file, (base + 0.6 * torch.randn(n)).unsqueeze(1)


class Claims(nn.Module):
    def __init__(self, columns=11, width=128):
        super().__init__()
        self.first = nn.Linear(columns, width)
        self.second = nn.Linear(width, width)
        self.cost = nn.Linear(width, 1)

    def forward(self, file):
        h = torch.relu(self.first(file))
        return self.cost(torch.relu(self.second(h)))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
loader = DataLoader(TensorDataset(*claims(160)), batch_size=16, shuffle=True)
val_x, val_y = claims(1000)
model = Claims()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.MSELoss()
for epoch in range(1, 81):
    for x, y in loader:
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        val_loss = loss_fn(model(val_x), val_y).item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
