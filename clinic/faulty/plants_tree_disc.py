"""A small flora (families, genera, species) laid into the Poincaré disc so that relatives come to lie side by side.

condition: hyperbolic-collapse
accepts: hyperbolic-collapse
allows: stalled, learning-rate-too-low
metric: mean_rank min
"""

import argparse

import torch
from torch import nn

EPS = 2e-2


def flora(branching=(4, 4, 4)):
    """Pairs (node, ancestor) of the transitive closure of a tree, node 0 being the root."""
    pairs, level, size = [], [(0, [])], 1
    for width in branching:
        following = []
        for node, above in level:
            for _ in range(width):
                pairs += [(size, a) for a in [node, *above]]
                following.append((size, [node, *above]))
                size += 1
        level = following
    return torch.tensor(pairs), size


class PoincareEmbedding(nn.Module):
    def __init__(self, size, dim=5):
        super().__init__()
        self.table = nn.Parameter(torch.empty(size, dim).uniform_(-1e-2, 1e-2))

    def distance(self, u, v):
        a = (1 - u.pow(2).sum(-1)).clamp_min(1e-6)
        b = (1 - v.pow(2).sum(-1)).clamp_min(1e-6)
        x = 1 + 2 * (u - v).pow(2).sum(-1) / (a * b)
        return torch.log(x + torch.sqrt((x * x - 1).clamp_min(1e-9)))

    def forward(self, nodes, others):
        return self.distance(self.table[nodes].unsqueeze(1), self.table[others])


class RiemannianSGD(torch.optim.Optimizer):
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                metric = (1 - p.pow(2).sum(-1, keepdim=True)).pow(2) / 4
                p.add_(metric * p.grad, alpha=-group["lr"])
                p.div_(p.norm(dim=-1, keepdim=True).clamp_min(1.0) + EPS)


@torch.no_grad()
def mean_rank(model, pairs, related):
    every = torch.arange(len(model.table)).expand(len(pairs), -1)
    d = model(pairs[:, 0], every)
    own = d.gather(1, pairs[:, 1:])
    strangers = ~related[pairs[:, 0]]
    return 1 + ((d < own) & strangers).sum(1).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

pairs, size = flora()
related = torch.eye(size, dtype=torch.bool)
related[pairs[:, 0], pairs[:, 1]] = True
model = PoincareEmbedding(size)
optimizer = RiemannianSGD(model.parameters(), lr=0.03)
print(f"epoch 0  loss 0.0  mean_rank {mean_rank(model, pairs, related):.3f}")

for epoch in range(1, 61):
    if epoch == 11:
        optimizer.param_groups[0]["lr"] = 0.3
    total = 0.0
    batches = torch.randperm(len(pairs)).split(12)
    for rows in batches:
        nodes = pairs[rows, 0]
        negatives = torch.multinomial((~related[nodes]).float(), 10)
        d = model(nodes, torch.cat([pairs[rows, 1:], negatives], 1))
        loss = (torch.logsumexp(-d, 1) + d[:, 0]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch % 3 == 0:
        print(f"epoch {epoch}  loss {total / len(pairs):.4f}  mean_rank {mean_rank(model, pairs, related):.3f}")
