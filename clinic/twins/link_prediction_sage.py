"""Which people of a network know each other: a two-layer graph encoder scores pairs, edges against drawn non-edges.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

people, groups = 400, 8
group = torch.randint(groups, (people,))
chance = torch.where(group.unsqueeze(1) == group, 0.2, 0.005)
upper = (torch.rand(people, people) < chance).triu(1)
edges = upper.nonzero()
edges = edges[torch.randperm(len(edges))]
held = len(edges) // 5
val_edges, train_edges = edges[:held], edges[held:]
features = F.one_hot(group, groups) + 0.7 * torch.randn(people, groups)

adjacency = torch.zeros(people, people)
adjacency[train_edges[:, 0], train_edges[:, 1]] = 1.0
adjacency = adjacency + adjacency.T
neighbours = adjacency / adjacency.sum(1, keepdim=True).clamp(min=1)


class SageLayer(nn.Module):
    def __init__(self, size_in, size_out):
        super().__init__()
        self.own = nn.Linear(size_in, size_out)
        self.near = nn.Linear(size_in, size_out, bias=False)

    def forward(self, h):
        return self.own(h) + self.near(neighbours @ h)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([SageLayer(groups, 48), SageLayer(48, 24)])
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self):
        return self.layers[1](F.relu(self.layers[0](features)))

    def score(self, h, pairs):
        return (h[pairs[:, 0]] * h[pairs[:, 1]]).sum(1) + self.bias


def pair_loss(model, positive):
    negative = torch.randint(people, (len(positive), 2))
    h = model()
    logits = model.score(h, torch.cat([positive, negative]))
    labels = torch.cat([torch.ones(len(positive)), torch.zeros(len(negative))])
    return F.binary_cross_entropy_with_logits(logits, labels)


model = Encoder()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for step in range(1, 401):
    positive = train_edges[torch.randint(len(train_edges), (128,))]
    loss = pair_loss(model, positive)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            val_loss = pair_loss(model, val_edges).item()
        print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")
