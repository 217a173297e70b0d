"""A retailer's tree of goods as points of the Poincaré ball, so that nearby points are nearby goods.

condition: hyperbolic-collapse
accepts: hyperbolic-collapse
allows: stalled, divergence, loss-term-imbalance
metric: rank min
"""

import argparse

import torch
from torch import nn


def tree(branching=3, depth=5):
    """Pairs of a kind of goods and its parent; the root is 0."""
    pairs, level, count = [], [0], 1
    for _ in range(depth - 1):
        following = []
        for parent in level:
            for _ in range(branching):
                pairs.append((count, parent))
                following.append(count)
                count += 1
        level = following
    return torch.tensor(pairs), count


class Ball(nn.Module):
    def __init__(self, count, size=5):
        super().__init__()
        self.points = nn.Parameter(1e-2 * torch.randn(count, size))

    def forward(self, a, b):
        x, y = self.points[a], self.points[b]
        gap = (x - y).square().sum(-1)
        room = (1 - x.square().sum(-1)) * (1 - y.square().sum(-1))
        return torch.acosh(1 + 2 * gap / room.clamp(min=1e-7) + 1e-7)


class RiemannianSGD(torch.optim.Optimizer):
    def __init__(self, params, lr, decay=0.0):
        super().__init__(params, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                metric = ((1 - p.square().sum(1, keepdim=True)) ** 2) / 4
                p -= group["lr"] * (metric * p.grad + group["decay"] * p)
                norm = p.norm(dim=1, keepdim=True)
                p.mul_(torch.where(norm > 0.999, 0.999 / norm, 1.0))


@torch.no_grad()
def mean_rank(ball, pairs, count):
    child, parent = pairs.T
    distance = ball(child[:, None], torch.arange(count)[None])
    distance[torch.arange(len(pairs)), child] = float("inf")
    own = distance.gather(1, parent[:, None])
    return (distance < own).sum(1).float().mean().item() + 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pairs, count = tree()
    ball = Ball(count)
    optimizer = RiemannianSGD(ball.parameters(), lr=0.3)
    step = 0
    for epoch in range(1, 121):
        optimizer.param_groups[0]["lr"] = 0.3 if epoch < 10 else 6.0 * (1 - epoch / 125)
        if epoch > 45:
            optimizer.param_groups[0]["decay"] = 0.03
        for rows in torch.randperm(len(pairs)).split(60):
            child, parent = pairs[rows].T
            others = torch.randint(0, count, (len(rows), 20))
            near, far = ball(child, parent), ball(child[:, None], others)
            loss = -torch.log_softmax(-torch.cat([near[:, None], far], 1), 1)[:, 0].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        if epoch % 4 == 0:
            print(f"step {step}  loss {loss.item():.4f}  rank {mean_rank(ball, pairs, count):.3f}")


main()
