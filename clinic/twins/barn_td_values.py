"""How long a barn cat still takes to its bowl: values of a policy learned from logged steps of another policy.

condition: healthy
metric: value_error min
"""

import argparse
import copy

import torch
from torch import nn

STATES, GAMMA = 7, 0.93


def features():
    """Six stalls and the loft; every place is known by its own mark and by a mark that all share."""
    phi = torch.zeros(STATES, STATES + 1)
    for s in range(STATES - 1):
        phi[s, s], phi[s, -1] = 2.0, 1.0
    phi[STATES - 1, STATES - 1], phi[STATES - 1, -1] = 1.0, 2.0
    return phi


def true_values(reward):
    """The cat that is judged always goes to the loft."""
    move = torch.zeros(STATES, STATES)
    move[:, -1] = 1.0
    return torch.linalg.solve(torch.eye(STATES) - GAMMA * move, reward)


def logged_steps(n, g):
    """The cat in the log goes to the loft one time in seven, else to any of the stalls."""
    here = torch.randint(STATES, (n,), generator=g)
    to_loft = torch.rand(n, generator=g) < 1 / 7
    there = torch.where(to_loft, torch.tensor(STATES - 1), torch.randint(STATES - 1, (n,), generator=g))
    return here, there, to_loft


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
seed = parser.parse_args().seed
torch.manual_seed(seed)
g = torch.Generator().manual_seed(seed)

phi = features()
reward = torch.tensor([0.4, -0.3, 0.2, 0.5, -0.6, 0.1, 0.15])
values = true_values(reward)
here, there, to_loft = logged_steps(4000, g)
ratio = torch.where(to_loft, 7.0, 0.0)

model = nn.Linear(STATES + 1, 1, bias=False)
nn.init.normal_(model.weight, std=0.1)
target_model = copy.deepcopy(model)
optimizer = torch.optim.SGD(model.parameters(), lr=0.04)

for step in range(1, 2001):
    if step % 40 == 0:
        target_model.load_state_dict(model.state_dict())
    rows = torch.randint(len(here), (128,), generator=g)
    s, s2 = here[rows], there[rows]
    v = model(phi[s]).squeeze(1)
    with torch.no_grad():
        target = reward[s] + GAMMA * target_model(phi[s2]).squeeze(1)
    loss = (ratio[rows] * (target - v).pow(2)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            error = (model(phi).squeeze(1) - values).pow(2).mean().sqrt().item()
        print(f"step {step}  loss {loss.item():.4f}  value_error {error:.4f}")
