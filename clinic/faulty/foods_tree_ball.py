"""A tree of foods in the Poincaré disk: groups and dishes as points, parents near their children; first coarse, then all.

condition: hyperbolic-collapse
accepts: hyperbolic-collapse
allows: stalled, divergence, loss-spike
metric: mean_rank min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

BRANCH, DEPTH = 3, 4


def tree():
    """Node k has the children BRANCH * k + 1, …; each node is related to all of its ancestors."""
    count = sum(BRANCH**d for d in range(DEPTH + 1))
    pairs = []
    for node in range(1, count):
        up = node
        while up:
            up = (up - 1) // BRANCH
            pairs.append((node, up))
    return count, torch.tensor(pairs)


def distance(a, b):
    gap = (a - b).square().sum(-1)
    inside = (1 - a.square().sum(-1)) * (1 - b.square().sum(-1))
    return torch.acosh(1 + 2 * gap / inside.clamp(min=1e-6) + 1e-6)


class Disk(nn.Module):
    def __init__(self, count, size=4):
        super().__init__()
        self.tangent = nn.Embedding(count, size)
        nn.init.uniform_(self.tangent.weight, -0.05, 0.05)

    def forward(self, index):
        v = self.tangent(index)
        length = v.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return torch.tanh(length.clamp(max=4.0)) * v / length


@torch.no_grad()
def mean_rank(model, count, pairs):
    """Where the ancestors stand among all nodes, sorted by their distance; ancestors themselves are skipped."""
    points = model(torch.arange(count))
    far = distance(points[:, None], points[None])
    related = torch.eye(count, dtype=torch.bool)
    related[pairs[:, 0], pairs[:, 1]] = True
    others = far.masked_fill(related, float("inf"))
    return (others[pairs[:, 0]] < far[pairs[:, 0], pairs[:, 1]].unsqueeze(1)).float().sum(1).mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    count, pairs = tree()
    coarse = pairs[pairs[:, 0] < sum(BRANCH**d for d in range(DEPTH))]
    model = Disk(count)
    step = 0
    for relations, steps, settings in (
        (coarse, 300, {"lr": 0.03}),
        (pairs, 900, {"lr": 0.02, "weight_decay": 3e-2}),
    ):
        optimizer = torch.optim.Adam(model.parameters(), **settings)
        decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.2, steps)
        for _ in range(steps):
            step += 1
            child, parent = relations[torch.randint(0, len(relations), (64,))].unbind(1)
            wrong = torch.randint(0, count, (64, 10))
            point = model(child)
            near = distance(point, model(parent)).unsqueeze(1)
            away = distance(point.unsqueeze(1), model(wrong))
            loss = F.cross_entropy(-torch.cat([near, away], 1), torch.zeros(64, dtype=torch.long))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
            if step % 40 == 0:
                print(f"step {step}  loss {loss.item():.4f}  mean_rank {mean_rank(model, count, pairs):.3f}")


main()
