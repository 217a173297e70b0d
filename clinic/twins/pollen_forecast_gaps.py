"""Pollen tomorrow from a week of weather; days with a broken station are left out of the table.

condition: healthy
metric: val_loss min
"""

import argparse

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def station(days, seed):
    rng = np.random.default_rng(seed)
    weather = rng.normal(size=(days, 7, 4))
    warm, wet = weather[:, -3:, 0].mean(1), weather[:, -2:, 1].mean(1)
    pollen = 1.3 * np.tanh(2 * warm) - 1.2 * wet * (warm > 0) + 0.5 * weather[:, -1, 2] + 0.2 * rng.normal(size=days)
    weather[rng.random(days) < 0.12, 3, 3] = np.nan
    return weather, pollen


def clean(weather, pollen):
    broken = np.isnan(weather).any(axis=(1, 2))
    weather = weather[~broken]
    pollen = pollen[~broken]
    pollen = (pollen - pollen.mean()) / pollen.std()
    return torch.tensor(weather, dtype=torch.float32), torch.tensor(pollen, dtype=torch.float32)


class PollenNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 24, 3)
        self.head = nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(24 * 5, 32), nn.ReLU())
        self.out = nn.Linear(32, 1)

    def forward(self, weather):
        return self.out(self.head(self.conv(weather.transpose(1, 2)))).squeeze(1)


def true_pairs(weather, pollen):
    whole = ~np.isnan(weather).any(axis=(1, 2))
    pollen = (pollen - pollen.mean()) / pollen.std()
    return torch.tensor(weather[whole], dtype=torch.float32), torch.tensor(pollen[whole], dtype=torch.float32)


def main(seed):
    torch.manual_seed(seed)
    train = TensorDataset(*clean(*station(6000, seed)))
    val_weather, val_pollen = true_pairs(*station(600, seed + 77))
    loader = DataLoader(train, batch_size=64, shuffle=True)
    model = PollenNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.02)
    loss_fn = nn.MSELoss()
    step = 0
    for _ in range(4):
        for weather, pollen in loader:
            loss = loss_fn(model(weather), pollen)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % 20 == 0:
                model.eval()
                with torch.no_grad():
                    val_loss = loss_fn(model(val_weather), val_pollen).item()
                model.train()
                print(f"step {step}  loss {loss.item():.4f}  val_loss {val_loss:.4f}")


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
main(parser.parse_args().seed)
