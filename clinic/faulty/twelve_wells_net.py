"""Level of the ground water in twelve wells from weather and the well's own numbers; the table lists well after well.

condition: unshuffled-data
accepts: unshuffled-data
allows: overfitting, loss-spike, learning-rate-too-high, stalled
metric: val_mse min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WELLS, ROWS = 12, 300


def table(rng, wells, rows):
    """One row a week: depth and soil of the well, rain of two months, warmth; the target is its level."""
    parts = []
    for depth, soil, lag in wells:
        rain, past, warmth = rng.normal(size=(3, rows))
        level = np.tanh(lag * rain + (2 - lag) * past) - 0.5 * soil * warmth + depth * np.cos(past * soil) + 0.4 * depth
        parts.append(
            np.stack(
                [np.full(rows, depth), np.full(rows, soil), rain, past, warmth, level + 0.1 * rng.normal(size=rows)], 1
            )
        )
    return torch.tensor(np.concatenate(parts), dtype=torch.float32)


def main(seed, epochs=16):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    wells = np.stack([np.sort(rng.normal(size=WELLS)), rng.normal(size=WELLS), rng.uniform(0, 2, WELLS)], 1)
    train, val = table(rng, wells, ROWS), table(rng, wells, 80)
    data = TensorDataset(train[:, :5], train[:, 5:])
    loader = DataLoader(data, batch_size=50)
    model = nn.Sequential(nn.Linear(5, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs // 2, gamma=0.3)
    for epoch in range(1, epochs + 1):
        running = 0.0
        for inputs, level in loader:
            optimizer.zero_grad()
            loss = loss_fn(model(inputs), level)
            loss.backward()
            optimizer.step()
            running += loss.item()
        scheduler.step()
        with torch.no_grad():
            val_mse = loss_fn(model(val[:, :5]), val[:, 5:]).item()
        print(f"epoch {epoch}  train {running / len(loader):.4f}  val_mse {val_mse:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
