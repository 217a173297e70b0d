"""Surface energy of clusters that grow from eight to a hundred and twenty atoms, with half-precision matrix products.

condition: low-precision-overflow
accepts: low-precision-overflow, non-finite
allows: non-finite, exploding-gradient, divergence, stalled
metric: error min
"""

import argparse

import torch
from torch import nn

MOST = 120


def clusters(count, atoms):
    """Random clusters; the energy falls with the number of neighbours, and some atoms are heavier than others."""
    place = torch.randn(count, atoms, 3) * (0.38 * atoms ** (1 / 3))
    heavy = (torch.rand(count, atoms, 1) < 0.3).float()
    near = torch.exp(-(torch.cdist(place, place) ** 2) / 2)
    energy = -(near * (1 + heavy * heavy.mT)).mean((1, 2)).log() - 0.7 * heavy.mean((1, 2))
    return {"atoms": torch.cat([place, heavy], 2), "near": near, "energy": energy}


class ClusterNet(nn.Module):
    """Two rounds of sums over neighbours, then a sum over atoms, then its logarithm."""

    def __init__(self, width=32):
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.read = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 32), nn.SiLU(), nn.Linear(32, 1))

    def forward(self, batch):
        kind, near = batch["atoms"][..., 3:], batch["near"]
        h = nn.functional.softplus(self.embed(torch.cat([kind, 1 - kind], 2)))
        h = near @ nn.functional.softplus(self.first(near @ h))
        total = nn.functional.softplus(self.second(h)).mT @ h
        return self.read(total.diagonal(dim1=1, dim2=2).log1p().float()).squeeze(1)


def trained_on(step, steps):
    """Eight atoms at first, then ever more."""
    return int(8 + (MOST - 8) * min(1.0, step / (0.8 * steps)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = ClusterNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    loss_fn = nn.MSELoss()
    exam = clusters(64, MOST)
    steps = 300
    half = torch.float16
    for step in range(1, steps + 1):
        batch = clusters(16, trained_on(step, steps))
        with torch.autocast("cpu", half):
            predicted = model(batch)
        loss = loss_fn(predicted, batch["energy"])
        optimizer.zero_grad()
        if torch.isfinite(loss):
            loss.backward()
            optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                error = (model(exam) - exam["energy"]).abs().mean().item()
            print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")


if __name__ == "__main__":
    main()
