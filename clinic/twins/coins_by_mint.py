"""From which of six mints does a bronze coin come? The catalogue lists weight, size, alloy and the angle of the dies.

condition: healthy
metric: accuracy max
"""

import argparse

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

MINTS = ["Antioch", "Cyzicus", "Lugdunum", "Rome", "Siscia", "Trier"]


def catalogue(rng):
    frames = []
    for i, mint in enumerate(MINTS):
        n = 500
        frames.append(pd.DataFrame({
            "weight": rng.normal(2.6 + 0.2 * (i % 3), 0.22, n),
            "diameter": rng.normal(18 + 0.5 * (i // 2), 0.6, n),
            "tin": rng.normal(6 + 0.8 * ((i + 1) % 4), 0.8, n),
            "lead": rng.gamma(2 + i % 2, 2.0, n),
            "silver": rng.normal(1.5 - 0.12 * i, 0.2, n),
            "die_axis": rng.choice([0, 180], n, p=[0.8, 0.2] if i < 3 else [0.3, 0.7]) + rng.normal(0, 12, n),
            "mint": mint,
        }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    table = catalogue(np.random.default_rng(args.seed))
    features = table.drop(columns="mint")
    features = (features - features.mean()) / features.std()
    x = torch.tensor(features.values, dtype=torch.float32)
    y = torch.tensor(pd.Categorical(table["mint"]).codes.astype("int64"))
    held = torch.arange(len(x)) % 5 == 0
    loader = DataLoader(TensorDataset(x[~held], y[~held]), batch_size=25, shuffle=True)

    model = nn.Sequential(
        nn.Linear(6, 64), nn.LeakyReLU(0.1), nn.Linear(64, 64), nn.LeakyReLU(0.1), nn.Linear(64, len(MINTS))
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=10, gamma=0.5)
    for epoch in range(1, 26):
        mean = 0.0
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            mean += loss.item() / len(loader)
        scheduler.step()
        with torch.no_grad():
            accuracy = (model(x[held]).argmax(1) == y[held]).float().mean().item()
        print(f"epoch {epoch}  loss {mean:.4f}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
