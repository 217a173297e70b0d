"""The load of a heat network is forecast online: after each four hours, one step on the last ten days.

condition: healthy
metric: error min
"""

import argparse
import math

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(args.seed)

HOURS, WINDOW, FADE = 6400, 240, 0.996

hour = np.arange(HOURS)
cold = 1.2 * np.cos(2 * math.pi * hour / 5200) + 0.5 * np.cos(2 * math.pi * hour / 24 + 2.6)
cold = cold + np.convolve(rng.normal(0, 1, HOURS), np.ones(30) / 12, mode="same")
wind = np.abs(np.convolve(rng.normal(0, 1, HOURS), np.ones(12) / 4, mode="same"))
day = np.stack([np.sin(2 * math.pi * hour / 24), np.cos(2 * math.pi * hour / 24)], 1)
weekend = ((hour // 24) % 7 >= 5).astype(float)

# streets are connected to the network month after month, and old houses get new windows
insulated = 1 / (1 + np.exp(-(hour - 3600) / 700))
homes = 0.5 + 0.9 * hour / HOURS
load = np.log1p(np.exp(1.5 * cold)) * (1.1 - 0.6 * insulated) * homes
load = load + 0.4 * day[:, 0] * (1 - 0.5 * weekend) * (1 - 1.6 * insulated) + 0.25 * wind * (1 - insulated)
load = load + 0.05 * rng.normal(0, 1, HOURS)

features = torch.tensor(np.column_stack([cold, wind, day, weekend]), dtype=torch.float32)
load = torch.tensor(load - 1.0, dtype=torch.float32)
clock = torch.tensor(hour, dtype=torch.float32)

model = nn.Sequential(nn.Linear(5, 48), nn.GELU(), nn.Linear(48, 48), nn.GELU(), nn.Linear(48, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)

errors = []
for step, now in enumerate(range(WINDOW, HOURS - 24, 4), start=1):
    with torch.no_grad():
        ahead = model(features[now : now + 24]).squeeze(1)
        errors.append((ahead - load[now : now + 24]).square().mean().item())

    past = slice(now - WINDOW, now)
    age = now - clock[past]
    weight = FADE**age
    residual = model(features[past]).squeeze(1) - load[past]
    loss = (weight * residual.square()).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    if step % 50 == 0:
        print(f"step {step}  error {math.sqrt(sum(errors[-50:]) / 50):.4f}")
