"""Graph attention over a net of mountain huts learns how long a party walks from one hut to another.

condition: healthy
metric: error min
"""

import argparse

import numpy as np
import torch
from scipy.sparse.csgraph import shortest_path
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(3)

HUTS, WIDTH = 48, 32
spot = rng.uniform(-1, 1, (HUTS, 2))
height = np.cos(2 * spot[:, 0]) + 0.5 * np.sin(3 * spot[:, 1])
far = np.linalg.norm(spot[:, None] - spot[None], axis=-1)
trail = np.zeros((HUTS, HUTS), dtype=bool)
for hut in range(HUTS):
    trail[hut, np.argsort(far[hut])[1:5]] = True
trail |= trail.T
climb = np.clip(height[None] - height[:, None], 0, None)
hours = shortest_path(np.where(trail, far + 1.2 * climb, 0))
hours = np.where(np.isfinite(hours), hours, hours[np.isfinite(hours)].max())
huts = torch.tensor(np.column_stack([spot, height]), dtype=torch.float32)
linked = torch.tensor(trail | np.eye(HUTS, dtype=bool))
hours = torch.tensor(hours, dtype=torch.float32)
pairs = torch.cartesian_prod(torch.arange(HUTS), torch.arange(HUTS))
pairs = pairs[torch.randperm(len(pairs))]
train, test = pairs[:1700], pairs[1700:]


class Attend(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.value = nn.Linear(WIDTH, WIDTH)
        self.source, self.target = nn.Linear(WIDTH, 1), nn.Linear(WIDTH, 1)

    def forward(self, h):
        z = self.value(self.norm(h))
        scores = nn.functional.leaky_relu(self.source(z) + self.target(z).T, 0.2)
        share = scores.masked_fill(~linked, -1e9).softmax(1)
        return h + torch.relu(share @ z)


class Walk(nn.Module):
    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(3, WIDTH)
        self.rounds = nn.Sequential(Attend(), Attend(), Attend())
        self.time = nn.Sequential(nn.Linear(2 * WIDTH, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, start, end):
        h = self.rounds(self.enter(huts))
        return self.time(torch.cat([h[start], h[end]], 1)).squeeze(1)


model = Walk()
optimizer = torch.optim.Adagrad(model.parameters(), lr=2e-2)
loss_fn = nn.HuberLoss(delta=0.5)

for step in range(700):
    start, end = train[torch.randint(len(train), (96,))].T
    loss = loss_fn(model(start, end), hours[start, end])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = (model(*test.T) - hours[test[:, 0], test[:, 1]]).abs().mean()
        print(f"step {step}  loss {loss.item():.4f}  error {error.item():.4f} h")
