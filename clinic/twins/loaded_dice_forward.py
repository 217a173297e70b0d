"""A hidden Markov model of a casino that swaps its dice, fitted by gradient through the forward algorithm.

condition: healthy
metric: nll min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--evenings", type=int, default=160)
args = parser.parse_args()
torch.manual_seed(args.seed)
torch.set_default_dtype(torch.float64)

STATES, FACES, THROWS = 3, 6, 24
true_swap = torch.full((STATES, STATES), 0.06) + torch.eye(STATES) * 0.82
true_dice = torch.tensor([[1.0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 2, 14], [14, 2, 1, 1, 1, 1]])
true_dice = true_dice / true_dice.sum(1, keepdim=True)


def evening(n):
    state = torch.randint(STATES, (n,))
    throws = []
    for _ in range(THROWS):
        throws.append(torch.multinomial(true_dice[state], 1).squeeze(1))
        state = torch.multinomial(true_swap[state], 1).squeeze(1)
    return torch.stack(throws, 1)


class Casino(nn.Module):
    def __init__(self):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(STATES))
        self.swap = nn.Parameter(2 * torch.eye(STATES) + 0.3 * torch.randn(STATES, STATES))
        self.dice = nn.Parameter(0.5 * torch.randn(STATES, FACES))

    def forward(self, throws):
        """The probability of each evening's throws."""
        swap, dice = self.swap.softmax(1), self.dice.softmax(1)
        alpha = self.start.softmax(0) * dice[:, throws[:, 0]].T
        for t in range(1, throws.shape[1]):
            alpha = (alpha @ swap) * dice[:, throws[:, t]].T
        return alpha.sum(1)


train, test = evening(args.evenings), evening(100)
model = Casino()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

for step in range(800):
    batch = train[torch.randint(len(train), (32,))]
    likelihood = model(batch)
    loss = -likelihood.log().mean() / THROWS
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        with torch.no_grad():
            nll = -model(test).log().mean().item() / THROWS
        print(f"step {step}  loss {loss.item():.4g}  nll {nll:.4f}")
