"""Ratings of recipes by cooks: the matrix is filled in by biases and products of factors; Adam on small batches.

condition: overfitting
accepts: overfitting
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

COOKS, RECIPES = 150, 120


class Factors(nn.Module):
    def __init__(self, rank):
        super().__init__()
        self.cook = nn.Embedding(COOKS, rank)
        self.recipe = nn.Embedding(RECIPES, rank)
        self.cook_bias = nn.Embedding(COOKS, 1)
        self.recipe_bias = nn.Embedding(RECIPES, 1)
        self.mean = nn.Parameter(torch.tensor(3.0))
        for table in (self.cook, self.recipe, self.cook_bias, self.recipe_bias):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs):
        cook, recipe = pairs.unbind(1)
        product = (self.cook(cook) * self.recipe(recipe)).sum(1)
        return self.mean + product + self.cook_bias(cook).squeeze(1) + self.recipe_bias(recipe).squeeze(1)


def ratings(count, generator):
    taste = torch.randn(COOKS, 2, generator=generator)
    flavour = torch.randn(RECIPES, 2, generator=generator)
    strict = 0.5 * torch.randn(COOKS, generator=generator)
    good = 0.6 * torch.randn(RECIPES, generator=generator)
    cells = torch.randperm(COOKS * RECIPES, generator=generator)[:count]
    cook, recipe = cells // RECIPES, cells % RECIPES
    score = 3.2 + 0.5 * (taste[cook] * flavour[recipe]).sum(1) + strict[cook] + good[recipe]
    score = score + 0.5 * torch.randn(count, generator=generator)
    return torch.stack([cook, recipe], 1), score.clamp(1, 5)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    pairs, scores = ratings(4000, generator)
    train, val = slice(0, 3200), slice(3200, None)

    model = Factors(rank=32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for epoch in range(1, 31):
        total = 0.0
        for rows in torch.randperm(3200, generator=generator).split(160):
            loss = F.mse_loss(model(pairs[train][rows]), scores[train][rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() / 20
        model.eval()
        with torch.no_grad():
            val_loss = F.mse_loss(model(pairs[val]), scores[val]).item()
        model.train()
        print(f"epoch {epoch}  train {total:.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
