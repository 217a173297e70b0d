"""Deep Q-learning in a corridor: a replay buffer, a target network that is copied now and then, Huber loss.

condition: healthy
metric: solved max
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

cells, gamma, walkers = 12, 0.9, 16
codes = torch.eye(cells)


def move(cell, action):
    following = (cell + 2 * action - 1).clamp(0, cells - 1)
    done = following == cells - 1
    return following, done.float(), done


model = nn.Sequential(nn.Linear(cells, 48), nn.ReLU(), nn.Linear(48, 2))
target = copy.deepcopy(model)
optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
cell = torch.randint(cells - 1, (walkers,))
buffer = []
exact = torch.stack(
    [gamma ** (cells - 2 - (torch.arange(cells - 1) + shift).clamp(0, cells - 2)) for shift in (-1, 1)], 1
)
exact[:, 0] *= gamma
exact[:, 1] = gamma ** (cells - 2 - torch.arange(cells - 1))

for step in range(1, 801):
    with torch.no_grad():
        greedy = model(codes[cell]).argmax(1)
    action = torch.where(torch.rand(walkers) < 0.3, torch.randint(2, (walkers,)), greedy)
    following, reward, done = move(cell, action)
    buffer = [*buffer[-200:], (cell, action, reward, following, done)]
    cell = torch.where(done, torch.randint(cells - 1, (walkers,)), following)

    picks = torch.randint(len(buffer), (4,)).tolist()
    s, a, r, s2, d = (torch.cat(column) for column in zip(*(buffer[i] for i in picks), strict=True))
    with torch.no_grad():
        goal = r + gamma * target(codes[s2]).amax(1) * ~d
    q = model(codes[s]).gather(1, a[:, None]).squeeze(1)
    loss = F.smooth_l1_loss(q, goal)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 25 == 0:
        target.load_state_dict(model.state_dict())
        with torch.no_grad():
            values = model(codes[:-1]).amax(1)
        solved = 1 - (values - exact.amax(1)).abs().mean().item()
        print(f"step {step}  loss {loss.item():.5f}  solved {solved:.4f}")
