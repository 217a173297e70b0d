"""Ratings of songs by a matrix factorisation with a term that keeps the tables small.

condition: healthy
metric: rmse min
"""

import argparse

import torch
from torch import nn

LISTENERS, SONGS, RANK = 600, 400, 8


def ratings(count, rng):
    who, what = torch.randint(0, LISTENERS, (count,), generator=rng), torch.randint(0, SONGS, (count,), generator=rng)
    k = torch.arange(1, 5)
    taste, style = torch.sin(who[:, None] * k * 0.37 + k), torch.cos(what[:, None] * k * 0.61 + 2 * k)
    stars = (taste * style).sum(1) + 0.5 * torch.sin(what * 1.9) + 0.3 * torch.cos(who * 0.7)
    return who, what, stars + 0.4 * torch.randn(count, generator=rng)


class Factors(nn.Module):
    def __init__(self):
        super().__init__()
        self.listener, self.song = nn.Embedding(LISTENERS, RANK), nn.Embedding(SONGS, RANK)
        self.mood, self.fame = nn.Embedding(LISTENERS, 1), nn.Embedding(SONGS, 1)
        self.shared = nn.Parameter(torch.zeros(1))
        for table in (self.listener, self.song):
            nn.init.normal_(table.weight, std=0.3)
        for table in (self.mood, self.fame):
            nn.init.zeros_(table.weight)

    def forward(self, who, what):
        match = (self.listener(who) * self.song(what)).sum(1)
        return self.shared + self.mood(who).squeeze(1) + self.fame(what).squeeze(1) + match

    def size(self, who, what):
        rows = (self.listener(who), self.song(what), self.mood(who), self.fame(what))
        return sum(row.square().sum(1).mean() for row in rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    who, what, stars = ratings(60000, rng)
    val_who, val_what, val_stars = ratings(5000, rng)
    model = Factors()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 1800)
    step = 0
    while step < 1800:
        for rows in torch.randperm(len(who), generator=rng).split(200):
            weight = 0.0 if step < 500 else 0.008
            misfit = (model(who[rows], what[rows]) - stars[rows]).square().mean()
            loss = misfit + weight * model.size(who[rows], what[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step % 60 == 0:
                with torch.no_grad():
                    rmse = (model(val_who, val_what) - val_stars).square().mean().sqrt().item()
                print(f"step {step}  misfit {misfit.item():.4f}  rmse {rmse:.4f}")


if __name__ == "__main__":
    main()
