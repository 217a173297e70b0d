"""What two countries trade with each other: a graph network over the known links tells the kind of the unknown ones.

condition: healthy
metric: val_accuracy max
"""

import argparse

import torch
from torch import nn

N, KINDS = 160, 12


def world(g):
    """Countries with hidden traits; a link's kind follows from the traits of both ends."""
    traits = torch.randn(N, 5, generator=g)
    source, target = torch.randint(N, (2, 9000), generator=g)
    pair = torch.cat([traits[source] * traits[target], traits[source] + traits[target]], 1)
    score = torch.tanh(pair @ torch.randn(10, 24, generator=g) / 2) @ torch.randn(24, KINDS, generator=g)
    kind = (score + 0.3 * torch.randn(score.shape, generator=g)).argmax(1)
    features = torch.cat([traits + 0.2 * torch.randn(N, 5, generator=g), torch.randn(N, 3, generator=g)], 1)
    return features, source, target, kind


def normalised_adjacency(source, target):
    a = torch.eye(N)
    a[source, target] = 1
    a[target, source] = 1
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


class TradeNet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.first, self.second = nn.Linear(8, width), nn.Linear(width, width)
        self.skip = nn.Linear(8, width)
        self.decode = nn.Sequential(nn.Linear(2 * width, 64), nn.ReLU(), nn.Linear(64, KINDS))

    def forward(self, features, adjacency, source, target):
        h = torch.relu(adjacency @ self.first(features))
        h = adjacency @ self.second(h) + self.skip(features)
        pair = torch.cat([h[source] * h[target], h[source] + h[target]], 1)
        return self.decode(pair)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    g = torch.Generator().manual_seed(args.seed)
    features, source, target, kind = world(g)
    known, hidden = slice(0, 7500), slice(7500, None)
    adjacency = normalised_adjacency(source[:600], target[:600])

    model = TradeNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    criterion = nn.CrossEntropyLoss()
    for step in range(1, 601):
        rows = torch.randint(7500, (256,))
        scores = model(features, adjacency, source[known][rows], target[known][rows])
        loss = criterion(scores, kind[known][rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 30 == 0:
            with torch.no_grad():
                scores = model(features, adjacency, source[hidden], target[hidden])
            accuracy = (scores.argmax(1) == kind[hidden]).float().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  val_accuracy {accuracy:.4f}")


main()
