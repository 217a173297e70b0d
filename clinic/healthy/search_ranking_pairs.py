"""Ranking of search results: each of a query's forty pages is compared with each other one, by logistic loss of pairs.

condition: healthy
metric: ndcg max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
rng = torch.Generator().manual_seed(args.seed)
torch.manual_seed(args.seed)


def query(pages=40):
    x = torch.randn(pages, 10, generator=rng)
    use = 1.5 * x[:, 0] * x[:, 1] + x[:, 2].abs() + 0.7 * x[:, 3] + 0.3 * torch.randn(pages, generator=rng)
    return x, torch.bucketize(use, torch.tensor([0.5, 1.5, 3.0])).float()


def ndcg(scores, grades, k=10):
    weight = 1 / torch.log2(torch.arange(k) + 2.0)
    gain = ((2 ** grades[scores.argsort(descending=True)[:k]] - 1) * weight).sum()
    return (gain / ((2 ** grades.sort(descending=True).values[:k] - 1) * weight).sum().clamp(min=1e-9)).item()


test = [query() for _ in range(60)]
model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

for step in range(1, 401):
    x, grades = query()
    scores = model(x)
    margin = scores - scores.squeeze(1)
    better = (grades.unsqueeze(1) - grades).sign()
    loss = (F.softplus(-better * margin) * better.abs()).sum() / better.abs().sum().clamp(min=1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            mean = sum(ndcg(model(x).squeeze(1), grades) for x, grades in test) / len(test)
        print(f"step {step}  loss {loss.item():.4f}  ndcg {mean:.4f}")
