"""Coarse photodiodes on a tumbling cube satellite tell where the sun is.

condition: non-finite
accepts: non-finite
allows: exploding-gradient, divergence, frozen-parameters, dead-units, bad-batch
metric: val_degrees min
"""

import argparse
import math

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


class SunSensor(nn.Module):
    def __init__(self, diodes, hidden=96):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(diodes, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, 3)
        )

    def forward(self, currents):
        return F.normalize(self.layers(currents), dim=-1)


def angle(guess, truth):
    cosine = (guess * truth).sum(-1).clamp(-1.0, 1.0)
    return torch.acos(cosine)


def make_pass(n, normals, rng):
    sun = rng.normal(size=(n, 3))
    sun /= np.linalg.norm(sun, axis=1, keepdims=True)
    light = np.clip(sun @ normals.T, 0, None) ** 0.9
    albedo = 0.08 * np.clip(-sun @ normals.T, 0, None)
    currents = light + albedo + 0.01 * rng.normal(size=light.shape)
    currents = (currents - currents.mean(0)) / currents.std(0)
    return torch.tensor(currents, dtype=torch.float32), torch.tensor(sun, dtype=torch.float32)


def run(seed):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(14, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    train = DataLoader(TensorDataset(*make_pass(8192, normals, rng)), batch_size=128, shuffle=True)
    val_x, val_y = make_pass(2000, normals, rng)
    model = SunSensor(14)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    epochs = 30
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    for epoch in range(epochs):
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = angle(model(x), y).mean()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        with torch.no_grad():
            off = math.degrees(angle(model(val_x), val_y).mean().item())
        print(f"epoch {epoch}  loss {total / len(train):.5f}  val_degrees {off:.3f}")


if __name__ == "__main__":
    args = argparse.ArgumentParser()
    args.add_argument("--seed", type=int, default=0)
    run(args.parse_args().seed)
