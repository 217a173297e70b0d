"""Ratings of gardens by visitors: factors by gradient descent; the tables grow when a new season brings new visitors.

condition: healthy
metric: rmse min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

GARDENS, RANK = 80, 4


class Factors(nn.Module):
    def __init__(self, visitors):
        super().__init__()
        self.visitors = nn.Embedding(visitors, RANK + 1)
        self.gardens = nn.Embedding(GARDENS, RANK + 1)
        self.level = nn.Parameter(torch.tensor(3.0))
        nn.init.normal_(self.visitors.weight, std=0.3)
        nn.init.normal_(self.gardens.weight, std=0.3)

    def forward(self, who, where):
        v, g = self.visitors(who), self.gardens(where)
        return self.level + (v[:, 1:] * g[:, 1:]).sum(1) + v[:, 0] + g[:, 0]

    def admit(self, total):
        known = self.visitors.weight.data
        fresh = 0.3 * torch.randn(total - len(known), RANK + 1)
        self.visitors = nn.Embedding.from_pretrained(torch.cat([known, fresh]), freeze=False)


def ratings(tastes, charms, low, high, count):
    who, where = torch.randint(low, high, (count,)), torch.randint(GARDENS, (count,))
    return who, where, 3 + (tastes[who] * charms[where]).sum(1) / 2 + 0.2 * torch.randn(count)


def make_optimizer(model):
    return torch.optim.Adam(model.parameters(), lr=0.02, weight_decay=1e-4)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
tastes, charms = torch.randn(400, RANK), torch.randn(GARDENS, RANK)
first = ratings(tastes, charms, 0, 250, 12000)
second = ratings(tastes, charms, 0, 400, 24000)
test = ratings(tastes, charms, 0, 400, 4000)
model = Factors(250)
optimizer = make_optimizer(model)
data, known = first, test[0] < 250

for epoch in range(1, 25):
    if epoch == 9:
        model.admit(400)
        optimizer = make_optimizer(model)
        data, known = second, test[0] < 400
    for rows in torch.randperm(len(data[0])).split(300):
        who, where, stars = (column[rows] for column in data)
        loss = F.mse_loss(model(who, where), stars)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        who, where, stars = (column[known] for column in test)
        rmse = F.mse_loss(model(who, where), stars).sqrt().item()
    print(f"epoch {epoch}  loss {loss.item():.4f}  rmse {rmse:.4f}")
