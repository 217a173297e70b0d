"""Trees by their bark: an embedding from triplets, hardest of a batch; more scans come in half-way.

condition: non-finite
accepts: non-finite
allows: exploding-gradient, divergence, bad-batch, learning-rate-too-high, stalled,
  vanishing-gradient, saturated-units, dead-units, loss-spike
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn

SPECIES = 9


class Scans:
    """Spectra of bark, 30 bands; species differ in a few of them, trees in all."""

    def __init__(self, g):
        self.g = g
        self.typical = 0.9 * torch.randn(SPECIES, 30, generator=g)

    def take(self, count):
        species = torch.randint(SPECIES, (count,), generator=self.g)
        tree = 1.1 * torch.randn(count, 30, generator=self.g)
        return self.typical[species] + tree, species


def euclidean(a, b):
    return (a - b).square().sum(1).sqrt()


def hardest(z, species, margin=1.0):
    same = species.unsqueeze(1) == species
    pairs = same & ~torch.eye(len(z), dtype=torch.bool)
    first, second = torch.triu_indices(len(z), len(z), offset=1)
    distance = torch.zeros(len(z), len(z)).index_put((first, second), euclidean(z[first], z[second]))
    distance = distance + distance.T
    positive = distance.masked_fill(~pairs, 0.0).amax(1)
    negative = distance.masked_fill(same, 1e3).amin(1)
    return torch.relu(positive - negative + margin).mean()


def nearest_accuracy(model, gallery, query):
    with torch.no_grad():
        distance = torch.cdist(model(query[0]), model(gallery[0]))
        votes = gallery[1][distance.nan_to_num(1e9).topk(5, largest=False).indices].mode(1).values
    return (votes == query[1]).float().mean().item()


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
g = torch.Generator().manual_seed(args.seed)
scans = Scans(g)
x, species = scans.take(3000)
query = scans.take(600)

model = nn.Sequential(nn.Linear(30, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 12))
optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
for epoch in range(1, 21):
    if epoch == 11:
        more_x, more_species = scans.take(1500)
        again = torch.randint(len(x), (500,), generator=g)
        x, species = torch.cat([x, more_x, x[again]]), torch.cat([species, more_species, species[again]])
    for rows in torch.randperm(len(x), generator=g).split(75):
        loss = hardest(model(x[rows]), species[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    accuracy = nearest_accuracy(model, (x[:2000], species[:2000]), query)
    print(f"epoch {epoch}  loss {loss.item():.4f}  val_accuracy {accuracy:.4f}")
