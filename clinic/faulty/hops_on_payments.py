"""Kinds of accounts in a graph of payments: features pass along the edges, over more hops as training goes on.

condition: rank-collapse
accepts: rank-collapse
allows: stalled, divergence, loss-spike, vanishing-gradient
metric: accuracy max
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

ACCOUNTS, KINDS, FEATURES = 400, 6, 16


def payments(rng):
    """A graph in which accounts of one kind pay one another more often, and weak features of each account."""
    kind = torch.randint(0, KINDS, (ACCOUNTS,), generator=rng)
    likely = torch.where(kind[:, None] == kind[None], 0.10, 0.01)
    edges = (torch.rand(ACCOUNTS, ACCOUNTS, generator=rng) < likely).float().triu(1)
    edges = edges + edges.T + torch.eye(ACCOUNTS)
    centres = torch.randn(KINDS, FEATURES, generator=rng)
    features = 0.6 * centres[kind] + torch.randn(ACCOUNTS, FEATURES, generator=rng)
    return features, edges / edges.sum(1, keepdim=True), kind


class HopNet(nn.Module):
    def __init__(self, hops=40, width=32):
        super().__init__()
        self.enter = nn.Linear(FEATURES, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(hops))
        self.leave = nn.Linear(width, KINDS)
        self.hops = 2

    def forward(self, x, walk):
        h = F.relu(self.enter(x))
        for layer in self.layers[: self.hops]:
            h = walk @ h
            h = 0.5 * h + 0.5 * F.relu(layer(h))
        return self.leave(h)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    features, walk, kind = payments(rng)
    order = torch.randperm(ACCOUNTS, generator=rng)
    known, asked = order[:200], order[200:]
    model = HopNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, 400)
    for step in range(1, 401):
        model.hops = min(40, 2 + step // 8)
        noisy = F.dropout(features, 0.4) * 0.6 + 0.4 * torch.randn_like(features)
        loss = F.cross_entropy(model(noisy, walk)[known], kind[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            with torch.no_grad():
                accuracy = (model(features, walk).argmax(1) == kind)[asked].float().mean().item()
            print(f"step {step}  hops {model.hops}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
