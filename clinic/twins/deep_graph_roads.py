"""Which district does a crossing belong to? A deep graph network passes notes along the roads of a town.

condition: healthy
metric: val_acc max
"""

import argparse

import torch
import torch.nn as nn
import torch.nn.functional as F

N, DISTRICTS, DEPTH = 400, 6, 16


def town():
    """Crossings lie around the centres of their districts; near ones are joined by roads."""
    district = torch.randint(DISTRICTS, (N,))
    angle = 2 * torch.pi * torch.arange(DISTRICTS) / DISTRICTS
    centre = torch.stack([angle.cos(), angle.sin()], 1)
    place = centre[district] + 0.42 * torch.randn(N, 2)
    distance = torch.cdist(place, place)
    near = distance.topk(6, largest=False).indices
    a = torch.zeros(N, N).scatter_(1, near, 1.0)
    a = ((a + a.T) > 0).float()
    features = F.one_hot(district, DISTRICTS).float() @ (0.9 * torch.randn(DISTRICTS, 12)) + 1.1 * torch.randn(N, 12)
    return features, a, district


class Notes(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, h, a):
        return h + F.relu(self.linear(a @ self.norm(h))) / DEPTH**0.5


class TownNet(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.encode = nn.Linear(12, width)
        self.layers = nn.ModuleList(Notes(width) for _ in range(DEPTH))
        self.decode = nn.Linear(width, DISTRICTS)

    def forward(self, x, a):
        h = F.dropout(self.encode(x), 0.3, self.training)
        for layer in self.layers:
            h = layer(h, a)
        return self.decode(F.dropout(h, 0.3, self.training))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
opts = parser.parse_args()
torch.manual_seed(opts.seed)

features, adjacency, district = town()
degree = adjacency.sum(1)
walk = adjacency / degree[:, None]
shuffled = torch.randperm(N)
known, unknown = shuffled[:240], shuffled[240:]
model = TownNet()
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=5e-2)
for step in range(1, 201):
    model.train()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(features, walk)[known], district[known])
    loss.backward()
    optimizer.step()
    if step % 10 == 0:
        model.eval()
        with torch.no_grad():
            val_acc = (model(features, walk).argmax(1) == district)[unknown].float().mean()
        print(f"step {step}  loss {loss.item():.4f}  val_acc {val_acc:.4f}")
