"""Values of the states of a random walk between two rewards, learned from sampled returns by a small network.

condition: healthy
metric: error min
"""

import argparse
import warnings

import torch
import torch.nn.functional as F
from torch import nn

warnings.filterwarnings("ignore", category=UserWarning)
parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

states = 15


def sample_returns(size):
    start = torch.randint(1, states + 1, (size,))
    position = start.clone()
    returns = torch.zeros(size)
    for _ in range(120):
        walking = (position > 0) & (position <= states)
        position = position + walking * (2 * torch.randint(2, (size,)) - 1)
    returns[position > states] = 1.0
    returns[position == 0] = -1.0
    return start, returns


all_states = torch.arange(1, states + 1)
truth = 2 * all_states / (states + 1) - 1


class Value(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(1, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, 1))

    def forward(self, state):
        return self.body(2 * state.float().unsqueeze(1) / (states + 1) - 1)


model = Value()
optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-4)

for step in range(1, 241):
    state, returns = sample_returns(64)
    values = model(state)
    loss = F.smooth_l1_loss(values.squeeze(1), returns)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 8 == 0:
        with torch.no_grad():
            error = (model(all_states).squeeze(1) - truth).abs().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
