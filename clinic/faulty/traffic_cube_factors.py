"""Factors of a traffic cube (street x hour x weekday) from a part of its counts.

condition: low-precision-underflow
accepts: low-precision-underflow
allows: stalled, learning-rate-too-low, frozen-parameters, vanishing-gradient
metric: error min
"""

import argparse

import torch

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--rank", type=int, default=6)
args = parser.parse_args()
torch.manual_seed(args.seed)

STREETS, HOURS, DAYS = 60, 24, 7
DTYPE = torch.bfloat16


def city():
    """Log counts, standardised: rush hours, nights and weekends weigh on each street in its own way."""
    hour = torch.linspace(0, 1, HOURS)
    profiles = torch.stack(
        [torch.exp(-(((hour - c) / w) ** 2)) for c, w in ((0.33, 0.07), (0.72, 0.1), (0.5, 0.2), (0.95, 0.15))]
    )
    days = torch.rand(4, DAYS)
    streets = torch.rand(4, STREETS) ** 2 * 3
    cube = torch.einsum("rs,rh,rd->shd", streets, profiles, days)
    cube = (cube - cube.mean()) / cube.std()
    return cube + 0.05 * torch.randn_like(cube)


cube = city()
seen = torch.rand(cube.shape) < 0.7
index, test_index = seen.nonzero(), (~seen).nonzero()
values, test_values = cube[seen], cube[~seen]


def factor(n):
    return (0.3 + 0.6 * torch.rand(n, args.rank)).to(DTYPE).requires_grad_(True)


street, hour, day = factor(STREETS), factor(HOURS), factor(DAYS)
offset = torch.zeros(HOURS, dtype=DTYPE, requires_grad=True)
params = [street, hour, day, offset]
optimizer = torch.optim.Adam(params, lr=6e-3)
decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 2400)
loss_fn = torch.nn.MSELoss()


def model(i):
    parts = street[i[:, 0]] * hour[i[:, 1]] * day[i[:, 2]]
    return parts.float().sum(1) + offset[i[:, 1]].float()


for step in range(2400):
    batch = torch.randint(len(index), (384,))
    loss = loss_fn(model(index[batch]), values[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    decay.step()
    if step % 40 == 0:
        with torch.no_grad():
            error = (model(test_index) - test_values).pow(2).mean().sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
