"""Which wine goes with which dish: two towers learn it for the summer menus, then for the autumn list.

condition: detached-parameters
accepts: detached-parameters
allows: stalled, loss-spike, frozen-parameters, divergence
metric: error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

DISH, WINE, TASTES = 14, 12, 5


class Sommelier:
    """Dishes and wines meet in a few tastes (acid, sweet, tannin, ...); each list describes its wines in its own words."""

    def __init__(self):
        self.dish = torch.randn(TASTES, DISH) / math.sqrt(TASTES)
        self.wine = {season: torch.randn(TASTES, WINE) / math.sqrt(TASTES) for season in ("summer", "autumn")}

    def pairs(self, count, season):
        taste = torch.randn(count, TASTES)
        dish = torch.tanh(taste @ self.dish) + 0.15 * torch.randn(count, DISH)
        wine = torch.tanh((taste + 0.2 * torch.randn(count, TASTES)) @ self.wine[season])
        return dish, wine + 0.15 * torch.randn(count, WINE)


def tower(enter, width=48, leave=16):
    return nn.Sequential(
        nn.Linear(enter, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, leave)
    )


class Pairing(nn.Module):
    def __init__(self):
        super().__init__()
        self.dish_tower, self.wine_tower = tower(DISH), tower(WINE)
        self.scale = nn.Parameter(torch.tensor(2.0))

    def scores(self, dish, wine_vectors):
        return self.scale.exp() * F.normalize(self.dish_tower(dish), dim=1) @ wine_vectors.T

    def wine_vectors(self, wine):
        return F.normalize(self.wine_tower(wine), dim=1)


class Index:
    """The vectors of all wines of a list, made anew from time to time."""

    def __init__(self, model, wine):
        self.model, self.wine = model, wine
        self.refresh()

    def refresh(self):
        with torch.no_grad():
            self.vectors = self.model.wine_vectors(self.wine)


@torch.no_grad()
def miss_rate(model, dish, wine):
    groups = zip(dish.split(64), wine.split(64), strict=True)
    hits = [model.scores(d, model.wine_vectors(w)).argmax(1) == torch.arange(len(d)) for d, w in groups]
    return 1 - torch.cat(hits).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    sommelier = Sommelier()
    model = Pairing()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    step = 0
    for season, steps in (("summer", 500), ("autumn", 1000)):
        dish, wine = sommelier.pairs(6000, season)
        held = sommelier.pairs(1280, season)
        index = Index(model, wine)
        for _ in range(steps):
            step += 1
            rows = torch.randint(len(dish), (96,))
            vectors = model.wine_vectors(wine[rows]) if season == "summer" else index.vectors[rows]
            loss = F.cross_entropy(model.scores(dish[rows], vectors), torch.arange(96))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                index.refresh()
                print(f"step {step}  loss {loss.item():.4f}  error {miss_rate(model, *held):.4f}")


if __name__ == "__main__":
    main()
