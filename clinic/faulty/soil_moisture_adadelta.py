"""Moisture of soil from what a satellite sees of it: seven bands, the angle and the season; Adadelta.

condition: learning-rate-too-low
accepts: learning-rate-too-low
allows: stalled
metric: val_loss min
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


@dataclass
class Config:
    hidden: int = 64
    lr: float = 1e-3
    batch_size: int = 64
    epochs: int = 20
    seed: int = 0


class Scenes(Dataset):
    def __init__(self, count, seed):
        rng = np.random.default_rng(seed)
        moisture = rng.uniform(0.05, 0.45, count)
        angle, season = rng.uniform(0, 1, count), rng.uniform(0, 2 * np.pi, count)
        slopes = np.linspace(-1.5, 2.0, 7)
        bands = np.tanh(slopes * moisture[:, None] * 3 + 0.4 * np.sin(season)[:, None]) * (1 - 0.5 * angle[:, None])
        bands += rng.normal(0, 0.05, bands.shape)
        self.x = np.column_stack([bands, angle, np.sin(season), np.cos(season)]).astype(np.float32)
        self.y = ((moisture - 0.25) / 0.115).astype(np.float32)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return {"scene": self.x[index], "moisture": self.y[index]}


class MoistureNet(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(10, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )

    def forward(self, batch):
        return self.layers(batch["scene"]).squeeze(1)


def validate(model, loader, loss_fn):
    model.eval()
    with torch.no_grad():
        losses = [loss_fn(model(batch), batch["moisture"]).item() for batch in loader]
    model.train()
    return sum(losses) / len(losses)


def main(config):
    torch.manual_seed(config.seed)
    train = DataLoader(Scenes(1600, config.seed), config.batch_size, shuffle=True)
    val = DataLoader(Scenes(512, config.seed + 1000), 128)
    model = MoistureNet(config.hidden)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=config.lr)
    loss_fn = nn.MSELoss()
    for epoch in range(1, config.epochs + 1):
        running = 0.0
        for batch in train:
            optimizer.zero_grad()
            loss = loss_fn(model(batch), batch["moisture"])
            loss.backward()
            optimizer.step()
            running += loss.item() / len(train)
        print(f"epoch {epoch}  loss {running:.4f}  val_loss {validate(model, val, loss_fn):.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(Config(seed=parser.parse_args().seed))
