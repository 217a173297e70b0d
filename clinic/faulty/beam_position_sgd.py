"""Position of a particle beam from eight pick-up electrodes and their delays, by descent with a rising momentum.

condition: divergence
accepts: divergence, learning-rate-too-high
allows: learning-rate-too-high, loss-spike, non-finite, unsafe-step, dead-units, exploding-gradient, saturated-units,
  stalled
metric: val_rms min
"""

import argparse
import math

import numpy as np
import torch
import torch.nn as nn

ELECTRODES = 8


def pulses(n, rng):
    radius = 0.75 * np.sqrt(rng.random((n, 1)))
    phi = 2 * np.pi * rng.random((n, 1))
    at = 2 * np.pi * np.arange(ELECTRODES) / ELECTRODES
    charge = rng.uniform(0.6, 1.6, (n, 1))
    signal = charge * (1 - radius**2) / (1 + radius**2 - 2 * radius * np.cos(phi - at))
    signal = np.log(signal + 0.02 * np.abs(rng.standard_normal(signal.shape))) + 0.03 * rng.standard_normal((n, 8))
    where = np.concatenate([radius * np.cos(phi), radius * np.sin(phi)], 1)
    return torch.tensor(signal / 0.9, dtype=torch.float32), torch.tensor(where / 0.375, dtype=torch.float32)


def build():
    model = nn.Sequential(nn.Linear(ELECTRODES, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))
    return model


def fit(model, train, val, epochs=40, batch=50):
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.004, momentum=0.5)
    x, y = train
    for epoch in range(epochs):
        optimizer.param_groups[0]["momentum"] = 0.5 + 0.02 * epoch
        order = torch.randperm(len(x))
        losses = []
        for i in range(0, len(x), batch):
            pick = order[i : i + batch]
            loss = loss_fn(model(x[pick]), y[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        with torch.no_grad():
            rms = math.sqrt(loss_fn(model(val[0]), val[1]).item())
        print(f"epoch {epoch + 1}  loss {np.mean(losses):.5f}  val_rms {rms:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    fit(build(), pulses(2000, rng), pulses(500, rng))
