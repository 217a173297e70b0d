"""Values of seven states of a machine from logged transitions, by temporal differences, linear in shared features.

condition: divergence
accepts: divergence
allows: learning-rate-too-high, exploding-gradient, loss-spike
metric: error min
"""

import argparse

import torch
from torch import nn

STATES, DISCOUNT = 7, 0.95
# a number of each state's own and one that all share, which weighs double in the last state
FEATURES = torch.cat([2 * torch.eye(STATES), torch.ones(STATES, 1)], dim=1)
FEATURES[-1, -2:] = torch.tensor([1.0, 2.0])


def logged(size):
    """Transitions: wherever the machine is, it goes to the last state and stays there; nothing is ever paid."""
    last = STATES - 1
    state = torch.randint(STATES, (size,))
    return state, torch.full((size,), last), torch.zeros(size)


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = nn.Linear(STATES + 1, 1, bias=False)
nn.init.uniform_(model.weight, 0.5, 1.5)
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
loss_fn = nn.MSELoss()

for step in range(1, 1001):
    state, following, reward = logged(32)
    with torch.no_grad():
        target = reward + DISCOUNT * model(FEATURES[following]).squeeze(-1)
    loss = loss_fn(model(FEATURES[state]).squeeze(-1), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        with torch.no_grad():
            error = model(FEATURES).abs().mean().item()  # the true values are 0
        print(f"step {step}  loss {loss.item():.4f}  error {error:.4f}")
