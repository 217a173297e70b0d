"""Whether a molecule is bound by an enzyme: message passing over small graphs, with batches that double as it learns.

condition: learning-rate-too-high
accepts: learning-rate-too-high, unsafe-step, divergence
allows: loss-spike, dead-units, stalled, exploding-gradient, saturated-units, output-logit-divergence
metric: accuracy max
"""

import argparse

import torch
from torch import nn

ATOMS, KINDS = 14, 5


def molecules(count):
    """Random trees with a few rings. Bound are those where many atoms of kind 0 have a neighbour of kind 1 or 2."""
    adjacency = torch.zeros(count, ATOMS, ATOMS)
    rows = torch.arange(count)
    for atom in range(1, ATOMS):
        parent = (torch.rand(count) * atom).long()
        adjacency[rows, atom, parent] = adjacency[rows, parent, atom] = 1
    for _ in range(3):
        a, b = torch.randint(0, ATOMS, (2, count))
        adjacency[rows, a, b] = adjacency[rows, b, a] = (a != b).float()
    kind = torch.randint(0, KINDS, (count, ATOMS))
    near = adjacency @ ((kind == 1) | (kind == 2)).float().unsqueeze(-1)
    active = ((kind == 0) & (near.squeeze(-1) > 0)).sum(1)
    return (
        nn.functional.one_hot(kind, KINDS).float(),
        adjacency,
        (active >= 2).long() ^ (torch.rand(count) < 0.03).long(),
    )


class MessagePassing(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.enter = nn.Linear(KINDS, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.near = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(3))
        self.read = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

    def forward(self, x, adjacency):
        x = self.enter(x)
        mean = adjacency / adjacency.sum(-1, keepdim=True).clamp_min(1)
        for own, near in zip(self.own, self.near):
            x = torch.relu(own(x) + near(mean @ x))
        return self.read(x.sum(1) / 4)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)
train, test = molecules(3000), molecules(1000)
model = MessagePassing()
base, start = 4e-3, 16
optimizer = torch.optim.Adam(model.parameters(), lr=base)
loss_fn = nn.CrossEntropyLoss()
batch = start

for epoch in range(1, 19):
    if epoch in (5, 7, 9, 11, 13, 15):
        batch *= 2
        for group in optimizer.param_groups:
            group["lr"] = base * batch / start
    for picked in torch.randperm(3000).split(batch):
        x, adjacency, label = (part[picked] for part in train)
        loss = loss_fn(model(x, adjacency), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        accuracy = (model(test[0], test[1]).argmax(1) == test[2]).float().mean().item()
    print(f"epoch {epoch}  batch {batch}  loss {loss.item():.4f}  accuracy {accuracy:.4f}")
