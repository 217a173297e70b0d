"""Rock types along a borehole from windows of five logs, by a small transformer; new wells come as one file per rock.

condition: healthy
metric: val_error min
"""

import argparse

import numpy as np
import torch
from torch import nn

LOGS, WINDOW, ROCKS = 5, 16, 5


def wells(n, rng, drift):
    """Gamma ray, density, neutron, sonic and resistivity around a depth; layers above and below differ."""
    centre = np.random.default_rng(3).normal(0, 1, (ROCKS, LOGS))
    rock = rng.integers(0, ROCKS, n)
    above, below = rng.integers(0, ROCKS, (2, n))
    depth = np.arange(WINDOW)
    top, base = rng.integers(2, 7, (n, 1)), rng.integers(10, 15, (n, 1))
    layer = np.where(depth < top, above[:, None], np.where(depth >= base, below[:, None], rock[:, None]))
    x = centre[layer] + drift * rng.normal(0, 0.6, (n, 1, LOGS)) + rng.normal(0, 0.9, (n, WINDOW, LOGS))
    return torch.tensor(x, dtype=torch.float32) / 1.4, torch.tensor(rock)


class RockNet(nn.Module):
    def __init__(self, d=32):
        super().__init__()
        self.lift = nn.Linear(LOGS, d)
        self.depth = nn.Parameter(torch.randn(WINDOW, d) * 0.1)
        layer = nn.TransformerEncoderLayer(d, 4, 64, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Sequential(nn.LayerNorm(d), nn.Linear(d, ROCKS))

    def forward(self, x):
        return self.out(self.encoder(self.lift(x) + self.depth)[:, WINDOW // 2])


def one_pass(model, optimizer, x, y, order, size=40):
    total = 0.0
    for idx in order.split(size):
        loss = nn.functional.cross_entropy(model(x[idx]), y[idx])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(idx)
    return total / len(x)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    first, second, val = wells(2000, rng, 0), wells(2000, rng, 1), wells(800, rng, 1)
    model = RockNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for epoch in range(1, 21):
        if epoch <= 8:
            (x, y), order = first, torch.randperm(len(first[0]))
        else:
            x, y = second
            order = torch.randperm(len(x))
            optimizer.param_groups[0]["lr"] = 1e-3 * (21 - epoch) / 12
        loss = one_pass(model, optimizer, x, y, order)
        with torch.no_grad():
            val_error = (model(val[0]).argmax(1) != val[1]).float().mean().item()
        print(f"epoch {epoch}  loss {loss:.4f}  val_error {val_error:.4f}")


if __name__ == "__main__":
    main()
