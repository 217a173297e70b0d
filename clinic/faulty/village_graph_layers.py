"""Which households of a village take part? Ten rounds of messages between neighbours, then a guess for each of them.

condition: rank-collapse
accepts: rank-collapse
allows: stalled, vanishing-gradient, dead-units, learning-rate-too-low
metric: val_error min
"""

import argparse

import torch
from torch import nn

HOUSES = 24


def villages(count, generator):
    """Neighbours are near each other; a house takes part if its own wish and the mean wish next door differ."""
    place = torch.rand(count, HOUSES, 2, generator=generator)
    near = (torch.cdist(place, place) < 0.35).float()
    features = torch.randn(count, HOUSES, 6, generator=generator)
    wish = features[..., 0] + 0.5 * features[..., 1]
    around = (near @ wish.unsqueeze(-1)).squeeze(-1) / near.sum(-1)
    part = (wish - 1.5 * around + 0.5 * features[..., 2] > 0).float()
    degree = near.sum(-1)
    near = near / (degree.unsqueeze(-1) * degree.unsqueeze(-2)).sqrt()
    return features, near, part


class Round(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, dim)

    def forward(self, x, near):
        return torch.relu(near @ self.linear(self.norm(x)))


class Village(nn.Module):
    def __init__(self, dim=24, rounds=10):
        super().__init__()
        self.enter = nn.Linear(6, dim)
        self.rounds = nn.ModuleList(Round(dim) for _ in range(rounds))
        self.leave = nn.Linear(dim, 1)

    def forward(self, x, near):
        x = self.enter(x)
        for layer in self.rounds:
            x = layer(x, near)
        return self.leave(x).squeeze(-1)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
generator = torch.Generator().manual_seed(seed)
model = Village()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_fn = nn.BCEWithLogitsLoss()
val_x, val_near, val_part = villages(150, generator)
for step in range(1, 401):
    x, near, part = villages(16, generator)
    loss = loss_fn(model(x, near), part)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            wrong = ((model(val_x, val_near) > 0).float() != val_part).float().mean()
        print(f"step {step}  loss {loss.item():.4f}  val_error {wrong.item():.4f}")
