"""Sales of a shop this week from its last weeks, read by attention pooling; records come in the order of time.

condition: healthy
metric: error min
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn

WEEKS, OPENING = 12, 9000


class Ledger:
    """Records in the order of time; a record has as many past weeks as its shop has been open for."""

    def __init__(self, rng, taste):
        self.rng, self.taste = rng, taste

    def records(self, first, count):
        past = torch.randn(count, WEEKS, 4, generator=self.rng)
        open_for = torch.randint(1, WEEKS + 1, (count,), generator=self.rng)
        if first >= OPENING:
            fresh = torch.rand(count, generator=self.rng) < 0.02
            open_for = torch.where(fresh, 0, open_for)
        known = torch.arange(WEEKS) < open_for.unsqueeze(1)
        weight = torch.softmax(2 * past[..., 0], 1) * known
        mean = (weight.unsqueeze(-1) * past).sum(1) / weight.sum(1, keepdim=True).clamp_min(1e-9)
        sales = torch.sin(mean @ self.taste) + 0.1 * torch.randn(count, generator=self.rng)
        return past, known, sales


class PooledHistory(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.query = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.keys, self.values = nn.Linear(4, width), nn.Linear(4, width)
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, past, known):
        scores = self.keys(past) @ self.query
        weight = scores.masked_fill(~known, -1e9).softmax(1) * known
        return self.head(torch.einsum("bw,bwd->bd", weight, self.values(past))).squeeze(1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    ledger = Ledger(rng, torch.tensor([0.5, 2.0, -1.5, 1.0]))
    *inputs, target = ledger.records(0, 600)
    model = PooledHistory()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    batch = 48
    for step in range(1, 401):
        past, known, sales = ledger.records(step * batch, batch)
        loss = F.mse_loss(model(past, known), sales)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                error = F.l1_loss(model(*inputs), target).item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


main()
