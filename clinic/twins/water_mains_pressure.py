"""A graph network predicts the pressure at the junctions of a town's water mains from what is drawn there.

condition: healthy
metric: error min
"""

import argparse

import numpy as np
import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)
rng = np.random.default_rng(5)

JUNCTIONS, SLACK = 20, 3.0
spot = rng.uniform(0, 1, (JUNCTIONS, 2))
far = np.linalg.norm(spot[:, None] - spot[None], axis=-1)
pipe = np.zeros((JUNCTIONS, JUNCTIONS))
for j in range(JUNCTIONS):
    for k in np.argsort(far[j])[1:5]:
        pipe[j, k] = pipe[k, j] = 1 / (0.05 + far[j, k])
laplace = np.diag(pipe.sum(1)) - pipe
laplace[0, 0] += 50.0
inverse = torch.tensor(np.linalg.inv(laplace), dtype=torch.float32)
flow = torch.tensor(pipe / pipe.sum(1, keepdims=True), dtype=torch.float32)


def hours(count):
    """What each junction draws in an hour, and how far the pressure falls there."""
    drawn = torch.rand(count, JUNCTIONS).pow(3) * 2
    fall = drawn @ inverse
    return drawn, fall


drawn, fall = hours(2000)
mean, spread = fall.mean(0), fall.std()
test_drawn, test_fall = hours(500)


class Pipes(nn.Module):
    def __init__(self, width=24, rounds=5):
        super().__init__()
        self.place = nn.Parameter(0.5 * torch.randn(JUNCTIONS, 8))
        self.start = nn.Linear(9, width)
        self.own = nn.ModuleList(nn.Linear(width, width) for _ in range(rounds))
        self.near = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(rounds))
        self.town = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(rounds))
        self.end = nn.Linear(width, 1)

    def forward(self, drawn):
        place = self.place.expand(len(drawn), -1, -1)
        h = self.start(torch.cat([2 * drawn[..., None] - 1, place], -1))
        for own, near, town in zip(self.own, self.near, self.town):
            message = own(h) + near(flow @ h) + town(h.mean(1, keepdim=True))
            h = h + 0.5 * torch.tanh(message)
        return self.end(h).squeeze(-1)


model = Pipes()
optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
loss_fn = nn.MSELoss()
norms = []

for step in range(700):
    rows = torch.randint(len(drawn), (24,))
    loss = loss_fn(model(drawn[rows]), (fall[rows] - mean) / spread)
    optimizer.zero_grad()
    loss.backward()
    limit = SLACK * np.median(norms[-50:]) if len(norms) > 20 else 10.0
    norm = nn.utils.clip_grad_norm_(model.parameters(), limit)
    norms.append(min(norm.item(), limit))
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            error = (model(test_drawn) * spread + mean - test_fall).abs().mean() / spread
        print(
            f"step {step}  loss {loss.item():.4f}  error {error.item():.4f}  norm {norm.item():.3f}  limit {limit:.3f}"
        )
