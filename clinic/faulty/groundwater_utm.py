"""Depth of the groundwater from boreholes: easting, northing and height of each go into a network as they are listed.

condition: unscaled-inputs
accepts: unscaled-inputs
allows: stalled, dead-units, learning-rate-too-high, exploding-gradient, loss-spike, divergence, bad-batch
metric: error min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, random_split


class Boreholes(Dataset):
    """A square of twenty kilometres, in metres of the national grid."""

    def __init__(self, count, seed):
        rng = np.random.default_rng(seed)
        u, v = rng.uniform(-1, 1, (2, count))
        height = 240 + 60 * np.sin(2 * u + 1) * np.cos(1.5 * v) + rng.normal(0, 10, count)
        self.depth = 6 + 3 * np.sin(2.5 * u) * np.cos(2 * v) + (height - 240) / 30 + rng.normal(0, 0.3, count)
        self.holes = np.stack([512_000 + 10_000 * u, 5_405_000 + 10_000 * v, height], 1)

    def __len__(self):
        return len(self.depth)

    def __getitem__(self, i):
        return self.holes[i].astype(np.float32), np.float32(self.depth[i])


class DepthNet(nn.Module):
    def __init__(self, hidden=64):
        super().__init__()
        self.hidden1, self.hidden2 = nn.Linear(3, hidden), nn.Linear(hidden, hidden)
        self.depth = nn.Linear(hidden, 1)

    def forward(self, x):
        x = torch.relu(self.hidden1(x))
        x = torch.relu(self.hidden2(x))
        return self.depth(x)[:, 0]


def mean_error(model, loader):
    model.eval()
    with torch.no_grad():
        gaps = torch.cat([(model(x) - y).abs() for x, y in loader])
    model.train()
    return gaps.mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    train, val = random_split(Boreholes(1400, seed), [1100, 300], generator=generator)
    loader = DataLoader(train, batch_size=50, shuffle=True, generator=generator)
    val_loader = DataLoader(val, batch_size=300)
    model = DepthNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    loss_fn = nn.MSELoss()
    for epoch in range(1, 21):
        for x, y in loader:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}  loss {loss.item():.4f}  error {mean_error(model, val_loader):.4f}")


if __name__ == "__main__":
    main()
