"""A taxonomy of species in the Poincaré disc: burn-in first, then training proper with Riemannian descent.

condition: hyperbolic-collapse
accepts: hyperbolic-collapse
allows: stalled, divergence, vanishing-gradient, loss-term-imbalance
metric: rank min
"""

import argparse

import torch
from torch import nn


def taxonomy(branching=(4, 4, 5)):
    parents, level = [-1], [0]
    for b in branching:
        nxt = []
        for node in level:
            for _ in range(b):
                nxt.append(len(parents))
                parents.append(node)
        level = nxt
    pairs = []
    for child in range(1, len(parents)):
        up = parents[child]
        while up >= 0:
            pairs.append((child, up))
            up = parents[up]
    return len(parents), torch.tensor(pairs)


def distance(u, v):
    gap = (u - v).square().sum(-1)
    inner = 1 + 2 * gap / ((1 - u.square().sum(-1)) * (1 - v.square().sum(-1)))
    return torch.acosh(inner.clamp_min(1 + 1e-7))


class Poincare(nn.Module):
    def __init__(self, nodes, dim=5):
        super().__init__()
        self.points = nn.Embedding(nodes, dim)
        nn.init.uniform_(self.points.weight, -1e-2, 1e-2)

    def forward(self, child, others):
        return -distance(self.points(child).unsqueeze(1), self.points(others))


class RiemannianSGD(torch.optim.Optimizer):
    def __init__(self, params, lr, weight_decay=0.0):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                grad = p.grad + group["weight_decay"] * p
                p.sub_(group["lr"] * grad * (1 - p.square().sum(1, keepdim=True)).square() / 4)
                norm = p.norm(dim=1, keepdim=True).clamp_min(1e-9)
                p.mul_(torch.where(norm > 0.999, 0.999 / norm, torch.ones_like(norm)))


def mean_rank(model, pairs, related):
    with torch.no_grad():
        w = model.points.weight
        d = distance(w.unsqueeze(1), w.unsqueeze(0))
        child, up = pairs.T
        own = d[child, up].unsqueeze(1)
        return 1 + ((d[child] < own) & ~related[child]).sum(1).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    nodes, pairs = taxonomy()
    related = torch.eye(nodes, dtype=torch.bool)
    related[pairs[:, 0], pairs[:, 1]] = True
    model = Poincare(nodes)
    loss_fn = nn.CrossEntropyLoss(reduction="sum")
    optimizer = RiemannianSGD(model.parameters(), lr=0.05)
    for epoch in range(1, 61):
        if epoch == 16:
            optimizer = RiemannianSGD(model.parameters(), lr=0.12, weight_decay=3.0)
        total = 0.0
        for idx in torch.randperm(len(pairs)).split(32):
            child, up = pairs[idx].T
            weights = (~related[child]).float()
            others = torch.cat([up.unsqueeze(1), torch.multinomial(weights, 10)], 1)
            loss = loss_fn(model(child, others), torch.zeros(len(idx), dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch}  loss {total / len(pairs):.4f}  rank {mean_rank(model, pairs, related):.3f}")


main()
