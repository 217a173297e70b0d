"""Rare events, one in thirty, with a weight on the positive class; the loss starts low and is dominated by few rows.

condition: healthy
metric: precision max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

direction = torch.randn(12)
x = torch.randn(6000, 12)
score = x @ direction / direction.norm() + 0.6 * x[:, 0] * x[:, 1] + 0.2 * torch.randn(6000)
y = (score > score.quantile(29 / 30)).float()
x_train, y_train, x_val, y_val = x[:4500], y[:4500], x[4500:], y[4500:]


def average_precision(logits, labels):
    hits = labels[logits.argsort(descending=True)]
    return ((hits.cumsum(0) / torch.arange(1, len(hits) + 1)) * hits).sum() / hits.sum()


model = nn.Sequential(nn.Linear(12, 48), nn.ELU(), nn.Linear(48, 48), nn.ELU(), nn.Linear(48, 1))
nn.init.constant_(model[-1].bias, -3.4)
optimizer = torch.optim.RAdam(model.parameters(), lr=3e-3, weight_decay=1e-4)
loss_fn = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(5.0))

for step in range(1, 401):
    batch = torch.randint(len(x_train), (128,))
    loss = loss_fn(model(x_train[batch]).squeeze(1), y_train[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            precision = average_precision(model(x_val).squeeze(1), y_val).item()
        print(f"step {step}  loss {loss.item():.4f}  precision {precision:.4f}")
