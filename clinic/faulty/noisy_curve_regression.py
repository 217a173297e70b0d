"""A wide network fits noisy samples of a smooth function of ten variables; the validation error is taken as it goes.

condition: overfitting
accepts: overfitting
metric: val_mse min
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import make_friedman1
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

inputs, targets = make_friedman1(n_samples=2200, noise=5.0, random_state=args.seed)
x = 2 * torch.tensor(inputs, dtype=torch.float32) - 1
y = torch.tensor(targets, dtype=torch.float32).unsqueeze(1)
y = (y - y.mean()) / y.std()
x_val, y_val = x[1800:], y[1800:]
x_train, y_train = x[:60], y[:60]

model = nn.Sequential(nn.Linear(10, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, 1))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

for step in range(1, 601):
    batch = torch.randint(len(x_train), (20,))
    loss = F.mse_loss(model(x_train[batch]), y_train[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 15 == 0:
        model.eval()
        with torch.no_grad():
            val_mse = F.mse_loss(model(x_val), y_val).item()
        model.train()
        print(f"step {step}  loss {loss.item():.4f}  val_mse {val_mse:.4f}")
