"""Two policies learn to play rock, paper, scissors with stakes that depend on the round; each has its own optimiser.

condition: adversarial-rotation
accepts: adversarial-rotation
allows: divergence
metric: exploitability min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

BEATS = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 24), nn.Tanh(), nn.Linear(24, 3))

    def forward(self, situation):
        return self.body(situation).softmax(1)


def payoffs(situation):
    """What the row player wins, (rounds, 3, 3): winning with a rock or with scissors counts more in some rounds."""
    stakes = torch.ones(len(situation), 3, 3)
    stakes[:, 0, 2] = stakes[:, 2, 0] = 1.5 + situation[:, 0]
    stakes[:, 2, 1] = stakes[:, 1, 2] = 1.5 + situation[:, 1]
    return BEATS * stakes


def exploitability(row, column, matrix):
    """What best answers would win from both, together."""
    best_row = torch.einsum("nij,nj->ni", matrix, column).amax(1)
    best_column = torch.einsum("nij,ni->nj", matrix, row).amin(1)
    return (best_row - best_column).mean()


first, second = Policy(), Policy()
first_optimizer = torch.optim.SGD(first.parameters(), lr=0.3)
second_optimizer = torch.optim.SGD(second.parameters(), lr=0.3)
held = 2 * torch.rand(200, 2) - 1

for game in range(1, 601):
    situation = 2 * torch.rand(128, 2) - 1
    row, column = first(situation), second(situation)
    gain = torch.einsum("ni,nij,nj->n", row, payoffs(situation), column).mean()
    first_loss, second_loss = -gain, gain
    first_gradients = torch.autograd.grad(first_loss, list(first.parameters()), retain_graph=True)
    second_gradients = torch.autograd.grad(second_loss, list(second.parameters()))
    for policy, gradients in ((first, first_gradients), (second, second_gradients)):
        for p, g in zip(policy.parameters(), gradients, strict=True):
            p.grad = g
    first_optimizer.step()
    second_optimizer.step()
    if game % 20 == 0:
        with torch.no_grad():
            gap = exploitability(first(held), second(held), payoffs(held)).item()
        print(f"game {game}  gain {gain.item():+.4f}  exploitability {gap:.4f}")
