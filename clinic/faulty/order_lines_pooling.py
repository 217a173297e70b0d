"""Will a customer come back? A small attention pooling over the lines of the last month's orders.

condition: non-finite
accepts: non-finite, bad-batch
allows: frozen-parameters, stalled, divergence
metric: val_loss min
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

CATEGORIES, MAX_LINES = 30, 24


class Shop:
    """Customers buy about nine things in a month; some categories keep them, some drive them away."""

    def __init__(self, seed):
        self.g = torch.Generator().manual_seed(seed)
        taste = torch.Generator().manual_seed(11)
        self.pull = torch.randn(CATEGORIES, generator=taste) * 1.6
        self.weight = torch.rand(CATEGORIES, generator=taste) * 3

    def month(self, n):
        lines = torch.poisson(torch.full((n,), 8.6), generator=self.g).clamp(max=MAX_LINES).long()
        category = torch.randint(CATEGORIES, (n, MAX_LINES), generator=self.g)
        price = torch.randn(n, MAX_LINES, generator=self.g)
        present = torch.arange(MAX_LINES) < lines[:, None]
        importance = (self.weight[category] + 0.5 * price).exp() * present
        score = (importance * self.pull[category]).sum(1) / importance.sum(1).clamp(min=1e-6)
        returns = torch.rand(n, generator=self.g) < torch.sigmoid(2.5 * score + 0.08 * (lines - 8.6))
        return category, price, present, returns.float()


class OrderReader(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.category = nn.Embedding(CATEGORIES, width)
        self.price = nn.Linear(1, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.query = nn.Parameter(torch.randn(width) / math.sqrt(width))
        self.out = nn.Sequential(nn.Linear(width + 1, width), nn.GELU(), nn.Linear(width, 1))

    def forward(self, category, price, present):
        h = F.gelu(self.category(category) + self.price(price[..., None]))
        scores = self.key(h) @ self.query
        scores = scores.masked_fill(~present, float("-inf"))
        pooled = (scores.softmax(-1)[..., None] * self.value(h)).sum(1)
        count = present.sum(1, keepdim=True) / MAX_LINES
        return self.out(torch.cat([pooled, count], -1)).squeeze(-1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    shop, kept = Shop(seed), Shop(1000 + seed)
    *val_inputs, val_returns = kept.month(400)

    model = OrderReader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    loss_fn = nn.BCEWithLogitsLoss()
    for step in range(1, 1201):
        *inputs, returns = shop.month(48)
        loss = loss_fn(model(*inputs), returns)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 40 == 0:
            with torch.no_grad():
                val_loss = loss_fn(model(*val_inputs), val_returns).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


if __name__ == "__main__":
    main()
