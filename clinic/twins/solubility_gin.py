"""How soluble is a molecule? An isomorphism network on made-up molecular graphs, batches as block-diagonal graphs.

condition: healthy
metric: val_rmse min
"""

import argparse

import torch
from torch import nn

KINDS = 5


class Graphs:
    """Random trees with a few rings; what a molecule does depends on its atoms and on which are neighbours."""

    def __init__(self, n, generator):
        self.items = []
        effect = torch.tensor([0.1, 0.6, -0.5, 0.3, -0.2])
        pair = torch.randn(KINDS, KINDS, generator=torch.Generator().manual_seed(3)) * 0.35
        for _ in range(n):
            size = int(torch.randint(6, 14, (1,), generator=generator))
            kind = torch.randint(KINDS, (size,), generator=generator)
            parent = (torch.rand(size - 1, generator=generator) * torch.arange(1, size)).long()
            edges = torch.stack([torch.arange(1, size), parent])
            if torch.rand(1, generator=generator) < 0.5:
                edges = torch.cat([edges, torch.tensor([[0], [size - 1]])], 1)
            a, b = kind[edges[0]], kind[edges[1]]
            target = effect[kind].sum() + (pair[a, b] + pair[b, a]).sum() / 2
            self.items.append((kind, torch.cat([edges, edges.flip(0)], 1), target))

    def batch(self, rows):
        kinds, edges, owner, targets, offset = [], [], [], [], 0
        for number, row in enumerate(rows):
            kind, edge, target = self.items[row]
            kinds.append(kind)
            edges.append(edge + offset)
            owner.append(torch.full_like(kind, number))
            targets.append(target)
            offset += len(kind)
        return torch.cat(kinds), torch.cat(edges, 1), torch.cat(owner), torch.stack(targets)


class GIN(nn.Module):
    def __init__(self, dim=32, rounds=3):
        super().__init__()
        self.atom = nn.Embedding(KINDS, dim)
        self.rounds = nn.ModuleList(
            [nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)) for _ in range(rounds)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(dim) for _ in range(rounds)])
        self.read = nn.Linear(dim, 1)

    def forward(self, kind, edges, owner, count):
        h = self.atom(kind)
        for update, norm in zip(self.rounds, self.norms, strict=True):
            h = norm(h + update(h + torch.zeros_like(h).index_add(0, edges[0], h[edges[1]])))
        each = self.read(torch.relu(h))[:, 0]
        return torch.zeros(count).index_add(0, owner, each)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = Graphs(800, generator), Graphs(200, generator)
    kind, edges, owner, val_y = val.batch(range(200))
    model = GIN()
    optimizer = torch.optim.SGD(model.parameters(), lr=2e-4, momentum=0.9)
    loss_fn = nn.MSELoss()
    for step in range(1, 301):
        rows = torch.randint(800, (32,), generator=generator).tolist()
        *graph, y = train.batch(rows)
        loss = loss_fn(model(*graph, 32), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 15 == 0:
            with torch.no_grad():
                val_rmse = (model(kind, edges, owner, 200) - val_y).square().mean().sqrt().item()
            print(f"step {step}  loss {loss.item():.4f}  val_rmse {val_rmse:.4f}")


if __name__ == "__main__":
    main()
