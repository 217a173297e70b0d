"""Offers in a list of sixteen are compared with each other: which share of the list is cheaper, for each of them?

condition: rank-collapse
accepts: rank-collapse
allows: stalled, vanishing-gradient, epsilon-dominated-update, learning-rate-too-low, off-critical-initialisation
metric: mae min
"""

import argparse

import torch
from torch import nn


class Compare(nn.Module):
    """Each offer looks at the others, then thinks for itself."""

    def __init__(self, width, heads):
        super().__init__()
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm, self.think_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, offers):
        seen = self.norm(offers)
        offers = self.look(seen, seen, seen, need_weights=False)[0]
        return offers + self.think(self.think_norm(offers))


class ListModel(nn.Module):
    def __init__(self, features=3, width=48, heads=4, depth=5):
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.blocks = nn.Sequential(*[Compare(width, heads) for _ in range(depth)])
        self.score = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, offers):
        return self.score(self.blocks(self.embed(offers))).squeeze(-1)


def lists(count, size=16):
    """Price per piece, pieces, and freight; what an offer costs in all says where it stands."""
    offers = torch.randn(count, size, 3)
    cost = torch.exp(0.5 * offers[..., 0]) * (2 + torch.tanh(offers[..., 1])) + 0.5 * offers[..., 2]
    share = (cost.unsqueeze(2) > cost.unsqueeze(1)).float().mean(2)
    return offers, share


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    held, held_share = lists(200)
    model = ListModel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    warmup = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 20)
    loss_fn = nn.SmoothL1Loss(beta=0.1)
    for step in range(1, 241):
        offers, share = lists(24)
        loss = loss_fn(model(offers), share)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        warmup.step()
        if step % 12 == 0:
            with torch.no_grad():
                mae = (model(held) - held_share).abs().mean().item()
            print(f"step {step}  loss {loss.item():.5f}  mae {mae:.4f}")


if __name__ == "__main__":
    main()
