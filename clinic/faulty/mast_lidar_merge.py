"""Wind at hub height from a mast's lower levels; the lidar's record beside it gives the truth.

condition: stalled
accepts: stalled
allows: overfitting, learning-rate-too-low, unshuffled-data
metric: val_mse min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


def simulate(n, rng):
    """Half-hours at three masts: speed at two levels, temperature difference, direction; speed at the hub."""
    mast = rng.integers(0, 3, n)
    speed = rng.weibull(2.0, n) * 7
    stability = rng.normal(0, 1, n)
    direction = rng.uniform(0, 2 * np.pi, n)
    rough = np.array([0.12, 0.18, 0.25])[mast] * (1 + 0.4 * np.cos(direction)) + 0.06 * np.tanh(stability)
    low = speed + rng.normal(0, 0.2, n)
    high = speed * 2.0**rough + rng.normal(0, 0.2, n)
    hub = speed * 6.0**rough
    rows = np.stack([(low - 6.2) / 3.2, (high - 7) / 3.7, stability, np.sin(direction), np.cos(direction)], 1)
    rows = np.concatenate([rows, np.eye(3)[mast]], 1)
    return np.arange(n), mast, rows.astype(np.float32), ((hub - 9) / 5).astype(np.float32)


class Record(Dataset):
    def __init__(self, time, mast, rows, hub):
        mast_order = np.lexsort((time, mast))
        lidar_order = np.lexsort((mast, time))
        self.rows, self.hub = torch.from_numpy(rows[mast_order]), torch.from_numpy(hub[lidar_order])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], self.hub[i]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    train = Record(*simulate(6000, rng))
    _, _, rows, hub = simulate(1000, rng)
    val_x, val_y = torch.from_numpy(rows), torch.from_numpy(hub)
    loader = DataLoader(train, batch_size=100, shuffle=True)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1))
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, epochs=16, steps_per_epoch=len(loader))
    for epoch in range(16):
        total = 0.0
        for x, y in loader:
            loss = loss_fn(model(x).squeeze(-1), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            total += loss.item()
        with torch.no_grad():
            val_mse = loss_fn(model(val_x).squeeze(-1), val_y).item()
        print(f"epoch {epoch + 1}  loss {total / len(loader):.4f}  val_mse {val_mse:.4f}")


if __name__ == "__main__":
    main()
