"""A museum's catalogue of tools, a tree five levels deep, is drawn into the Poincare disc so that kin lie near.

condition: healthy
metric: link_loss min
"""

import argparse

import torch


def catalogue(generator):
    """Parent of each entry; every shelf holds two to four kinds."""
    parent, level = [-1], [0]
    for depth in range(5):
        following = []
        for node in level:
            for _ in range(int(torch.randint(2, 5, (1,), generator=generator))):
                following.append(len(parent))
                parent.append(node)
        level = following
    return parent


def ancestors(parent):
    pairs = []
    for node in range(len(parent)):
        up = parent[node]
        while up >= 0:
            pairs.append((node, up))
            up = parent[up]
    return torch.tensor(pairs)


def distance(u, v):
    gap = (u - v).pow(2).sum(-1)
    room = (1 - u.pow(2).sum(-1)) * (1 - v.pow(2).sum(-1))
    return torch.acosh(1 + 2 * gap / room.clamp_min(1e-5) + 1e-6)


class RiemannianSGD(torch.optim.Optimizer):
    def __init__(self, params, lr, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                scale = (1 - p.pow(2).sum(-1, keepdim=True)).pow(2) / 4
                p.add_(p.grad * scale + group["weight_decay"] * p, alpha=-group["lr"])
                norm = p.norm(dim=-1, keepdim=True)
                p.copy_(torch.where(norm > 0.999, p / norm * 0.999, p))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    parent = catalogue(torch.Generator().manual_seed(7))
    pairs, count = ancestors(parent), len(parent)
    points = torch.nn.Parameter(torch.empty(count, 4).uniform_(-1e-2, 1e-2))
    optimizer = RiemannianSGD([points], lr=3.0)
    held = pairs[torch.randperm(len(pairs), generator=generator)[:300]]
    held_other = torch.randint(count, (300, 20), generator=generator)

    def link_loss(rows, other):
        anchor = points[rows[:, 0]]
        near = distance(anchor, points[rows[:, 1]])
        far = distance(anchor[:, None], points[other])
        logits = -torch.cat([near[:, None], far], 1)
        return torch.nn.functional.cross_entropy(logits, torch.zeros(len(rows), dtype=torch.long))

    for epoch in range(1, 61):
        optimizer.param_groups[0]["weight_decay"] = 2e-5
        for rows in pairs[torch.randperm(len(pairs), generator=generator)].split(128):
            other = torch.randint(count, (len(rows), 20), generator=generator)
            loss = link_loss(rows, other)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch % 3 == 0:
            with torch.no_grad():
                print(f"epoch {epoch}  loss {loss.item():.4f}  link_loss {link_loss(held, held_other).item():.4f}")


if __name__ == "__main__":
    main()
