"""Shoppers' queries find articles of a catalogue: two towers, trained against all articles.

condition: healthy
metric: hit_rate max
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

ARTICLES = 300


def tower(inputs, size=24):
    return nn.Sequential(nn.Linear(inputs, 96), nn.ReLU(), nn.Linear(96, size))


class Search:
    def __init__(self, articles, temperature=0.1):
        self.articles, self.temperature = articles, temperature
        self.query, self.item = tower(30), tower(articles.shape[1])
        self.modules = nn.ModuleList([self.query, self.item])

    def catalogue(self):
        return F.normalize(self.item(self.articles), dim=1)

    @torch.no_grad()
    def index(self):
        """The catalogue's vectors, as the search engine keeps them."""
        return self.catalogue()

    def scores(self, queries, vectors):
        return F.normalize(self.query(queries), dim=1) @ vectors.T / self.temperature


def asked(meaning, words, count, rng):
    wanted = torch.randint(0, ARTICLES, (count,), generator=rng)
    clean = torch.tanh(meaning[wanted] @ words)
    return clean + 0.25 * torch.randn(clean.shape, generator=rng), wanted


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    meaning = torch.randn(ARTICLES, 6, generator=rng)
    words = torch.randn(6, 30, generator=rng)
    attributes = torch.sin(2.5 * meaning @ torch.randn(6, 40, generator=rng))
    search = Search(attributes)
    optimizer = torch.optim.AdamW(search.modules.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 800)
    test, wanted = asked(meaning, words, 1000, rng)
    for step in range(800):
        queries, targets = asked(meaning, words, 128, rng)
        vectors = search.catalogue()
        loss = F.cross_entropy(search.scores(queries, vectors), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 40 == 0:
            with torch.no_grad():
                hit_rate = (search.scores(test, search.index()).argmax(1) == wanted).float().mean().item()
            print(f"step {step + 1}  loss {loss.item():.4f}  hit_rate {hit_rate:.4f}")


main()
