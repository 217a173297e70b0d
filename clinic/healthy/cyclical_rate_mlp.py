"""Breast-cancer classification with a triangular cyclical learning rate that rises tenfold and falls again and again.

condition: healthy
metric: loss min
"""

import argparse

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

data = load_breast_cancer()
x = torch.tensor(data.data, dtype=torch.float32)
x = (x - x.mean(0)) / x.std(0)
y = torch.tensor(data.target, dtype=torch.float32).unsqueeze(1)
order = torch.randperm(len(x))
train, val = order[:450], order[450:]

model = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.005, momentum=0.8, weight_decay=1e-3)
scheduler = torch.optim.lr_scheduler.CyclicLR(
    optimizer, base_lr=0.005, max_lr=0.05, step_size_up=40, mode="triangular", cycle_momentum=False
)
loss_fn = nn.BCEWithLogitsLoss()

running = 0.0
for step in range(1, 481):
    rows = train[torch.randint(len(train), (32,))]
    loss = loss_fn(model(x[rows]), y[rows])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    running += loss.item()
    if step % 16 == 0:
        print(f"step {step}  loss {running / 16:.4f}  lr {scheduler.get_last_lr()[0]:.4f}")
        running = 0.0
model.eval()
with torch.no_grad():
    accuracy = ((model(x[val]) > 0).float() == y[val]).float().mean().item()
print(f"validation accuracy {accuracy:.3f}")
