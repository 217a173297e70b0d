"""Crushing strength of bricks from clay, firing and size, by a small network on a table of measurements.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)


def bricks(n):
    x = torch.randn(n, 6)
    strength = 1.2 * x[:, 0] - 0.8 * x[:, 1] * x[:, 2] + torch.sin(2 * x[:, 3]) + 0.5 * x[:, 4] ** 2
    return x, strength + 0.2 * torch.randn(n)


x, y = bricks(3000)
x_val, y_val = bricks(800)
centre, spread = y.mean(), y.std()
loader = DataLoader(TensorDataset(x, (y - centre) / spread), batch_size=64, shuffle=True)
model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
loss_fn = nn.MSELoss()
for epoch in range(1, 21):
    model.train()
    for features, strength in loader:
        optimizer.zero_grad()
        loss = loss_fn(model(features), strength.unsqueeze(1))
        loss.backward()
        optimizer.step()
    scheduler.step()
    model.eval()
    with torch.no_grad():
        guess = model(x_val).squeeze(1) * spread + centre
        rmse = (guess - y_val).square().mean().sqrt().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_rmse {rmse:.4f}")
