"""Readers score the recipes of a cook book: biases and a product of factors, trained row by row in batches.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
g = torch.Generator().manual_seed(args.seed)
torch.manual_seed(args.seed)

READERS, RECIPES, RATINGS = 400, 250, 20000
taste = torch.randn(READERS, 3, generator=g)
flavour = torch.randn(RECIPES, 3, generator=g)
liked = 0.4 * torch.randn(RECIPES, generator=g)
mood = 0.3 * torch.randn(READERS, generator=g)

reader = torch.randint(READERS, (RATINGS,), generator=g)
recipe = torch.randint(RECIPES, (RATINGS,), generator=g)
score = 3.4 + mood[reader] + liked[recipe] + 0.55 * (taste[reader] * flavour[recipe]).sum(1)
score = (score + 0.6 * torch.randn(RATINGS, generator=g)).clamp(1, 5)
cut = 17500


class Factors(nn.Module):
    def __init__(self, rank=6):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(score[:cut].mean().item()))
        self.reader_bias, self.recipe_bias = nn.Embedding(READERS, 1), nn.Embedding(RECIPES, 1)
        self.reader, self.recipe = nn.Embedding(READERS, rank), nn.Embedding(RECIPES, rank)
        for table in (self.reader_bias, self.recipe_bias, self.reader, self.recipe):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, u, i):
        p, q = self.reader(u), self.recipe(i)
        estimate = self.mean + self.reader_bias(u).squeeze(1) + self.recipe_bias(i).squeeze(1) + (p * q).sum(1)
        return estimate, p.square().sum(1).mean() + q.square().sum(1).mean()


model = Factors()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
loss_fn = nn.MSELoss()
ridge = 1e-1

for epoch in range(1, 41):
    order = torch.randperm(cut, generator=g)
    total = 0.0
    for rows in order.split(250):
        estimate, size = model(reader[rows], recipe[rows])
        error = loss_fn(estimate, score[rows])
        loss = error + ridge * size
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += error.item() * len(rows)
    with torch.no_grad():
        val_error = loss_fn(model(reader[cut:], recipe[cut:])[0], score[cut:])
    print(
        f"epoch {epoch}  train_rmse {(total / cut) ** 0.5:.4f}  val_loss {val_error.item():.4f}"
        f"  val_rmse {val_error.sqrt().item():.4f}"
    )
