"""Which tracks would a listener play? Vectors of listeners and tracks from plays alone: played ones above unplayed.

condition: healthy
metric: ranked max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn


class Plays:
    def __init__(self, listeners, tracks, generator, taste=4):
        u = torch.randn(listeners, taste, generator=generator)
        v = torch.randn(tracks, taste, generator=generator)
        self.affinity = u @ v.T + 0.8 * torch.randn(listeners, tracks, generator=generator)
        played = self.affinity > self.affinity.quantile(0.88, dim=1, keepdim=True)
        held = torch.rand(played.shape, generator=generator) < 0.2
        self.train, self.test, self.played = (played & ~held).nonzero(), (played & held).nonzero(), played
        self.tracks, self.generator = tracks, generator

    def triples(self, pairs, size):
        rows = pairs[torch.randint(len(pairs), (size,), generator=self.generator)]
        other = torch.randint(self.tracks, (size,), generator=self.generator)
        keep = ~self.played[rows[:, 0], other]
        return rows[keep, 0], rows[keep, 1], other[keep]


class BPR(nn.Module):
    def __init__(self, listeners, tracks, dim=16):
        super().__init__()
        self.listener = nn.Embedding(listeners, dim)
        self.track = nn.Embedding(tracks, dim)
        self.popularity = nn.Embedding(tracks, 1)
        for table in (self.listener, self.track):
            nn.init.normal_(table.weight, std=0.05)
        nn.init.zeros_(self.popularity.weight)

    def forward(self, who, what):
        return (self.listener(who) * self.track(what)).sum(-1) + self.popularity(what).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    plays = Plays(500, 400, torch.Generator().manual_seed(seed))
    test = plays.triples(plays.test, 8000)
    model = BPR(500, 400)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, eps=1e-8)
    for step in range(1, 501):
        who, liked, other = plays.triples(plays.train, 1024)
        loss = F.softplus(model(who, other) - model(who, liked)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                ranked = (model(test[0], test[1]) > model(test[0], test[2])).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  ranked {ranked:.4f}")


if __name__ == "__main__":
    main()
