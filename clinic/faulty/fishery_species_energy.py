"""Species of fish from measurements on deck; in the second part, catches are also to be told as familiar by their energy.

condition: output-logit-divergence
accepts: output-logit-divergence
allows: loss-term-imbalance, low-precision-underflow, low-precision-overflow, divergence, loss-spike, stalled,
  exploding-gradient, softmax-collapse
metric: val_nll min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

SPECIES, MEASURES = 12, 10


class Deck:
    def __init__(self, rng):
        self.rng = rng
        self.centre = torch.randn(SPECIES, MEASURES, generator=rng)
        self.spread = 0.4 + 0.6 * torch.rand(SPECIES, MEASURES, generator=rng)

    def catch(self, count):
        kind = torch.randint(0, SPECIES, (count,), generator=self.rng)
        x = self.centre[kind] + self.spread[kind] * torch.randn(count, MEASURES, generator=self.rng)
        return x + 0.3 * torch.sin(2 * x.flip(1)), kind


class Sorter(nn.Module):
    def __init__(self, width=96):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(MEASURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
        self.scores = nn.Linear(width, SPECIES)

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.scores(self.body(x)).float()


def familiarity(scores):
    """Low energy for what the deck has seen."""
    return -torch.logsumexp(scores, 1).mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    deck = Deck(torch.Generator().manual_seed(seed))
    val_x, val_kind = deck.catch(1500)
    model = Sorter()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.2, 900)
    for step in range(1, 901):
        x, kind = deck.catch(64)
        scores = model(x)
        loss = F.cross_entropy(scores, kind)
        if step > 300:
            loss = loss + 0.1 * familiarity(scores)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 30 == 0:
            with torch.no_grad():
                val_nll = F.cross_entropy(model(val_x), val_kind).item()
            print(f"step {step}  loss {loss.item():.4f}  val_nll {val_nll:.4f}")


if __name__ == "__main__":
    main()
