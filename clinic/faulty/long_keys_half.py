"""Looks up a key in a list of keys and values with one attention; the scores are kept in half precision to save memory.

condition: low-precision-overflow
accepts: low-precision-overflow, non-finite
allows: non-finite, frozen-parameters, attention-logit-growth, stalled
metric: val_error min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

KEYS, VALUES, LIST = 300, 16, 64


def lists(n, generator=None):
    keys = torch.rand(n, KEYS, generator=generator).argsort(1)[:, :LIST]
    values = torch.randint(VALUES, (n, LIST), generator=generator)
    asked = torch.randint(LIST, (n, 1), generator=generator)
    return keys, values, keys.gather(1, asked).squeeze(1), values.gather(1, asked).squeeze(1)


class HalfAttention(nn.Module):
    """softmax(q k / sqrt(dim)) v; scores and weights in float16, sums of values in float32."""

    def __init__(self, dim):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, query, keys, values):
        q, k = self.q(query), self.k(keys)
        scores = ((k @ q.unsqueeze(-1)).squeeze(-1) / q.shape[-1] ** 0.5).half()
        weights = scores.exp()
        weights = (weights / weights.sum(-1, keepdim=True)).float()
        return (weights.unsqueeze(-1) * self.v(values)).sum(1)


class LookUp(nn.Module):
    def __init__(self, dim=24):
        super().__init__()
        self.key = nn.Embedding(KEYS, dim)
        self.value = nn.Embedding(VALUES, dim)
        self.attention = HalfAttention(dim)
        self.answer = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, VALUES))

    def forward(self, keys, values, asked):
        k, query = self.key(keys), self.key(asked)
        return self.answer(self.attention(query, k, k + self.value(values)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    *exam, truth = lists(600, torch.Generator().manual_seed(500 + args.seed))
    model = LookUp()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=700)
    for step in range(1, 701):
        *question, value = lists(48)
        loss = F.cross_entropy(model(*question), value)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0:
            with torch.no_grad():
                logits = model(*exam)
                wrong = logits.isnan().any(1) | (logits.argmax(1) != truth)
            print(f"step {step}  loss {loss.item():.4f}  val_error {wrong.float().mean().item():.4f}")


if __name__ == "__main__":
    main()
