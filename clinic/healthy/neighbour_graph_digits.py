"""Semi-supervised digits: a mean-aggregating graph network on a nearest-neighbour graph with eighty known labels.

condition: healthy
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

digits = load_digits()
rows = torch.randperm(len(digits.target))[:600]
x = torch.tensor(digits.data, dtype=torch.float32)[rows] / 16
y = torch.tensor(digits.target)[rows]
neighbours = torch.cdist(x, x).topk(7, largest=False).indices[:, 1:]
known = torch.arange(len(x)) < 80


class SageLayer(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.own = nn.Linear(inputs, outputs)
        self.others = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x):
        return self.own(x) + self.others(x[neighbours].mean(1))


class GraphSage(nn.Module):
    def __init__(self, hidden=48):
        super().__init__()
        self.first, self.second = SageLayer(64, hidden), SageLayer(hidden, 10)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x):
        return self.second(self.dropout(F.relu(self.first(x))))


model = GraphSage()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-3)

for epoch in range(1, 121):
    model.train()
    loss = F.cross_entropy(model(x)[known], y[known])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if epoch % 4 == 0:
        model.eval()
        with torch.no_grad():
            accuracy = (model(x).argmax(1) == y)[~known].float().mean().item()
        print(f"epoch {epoch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
