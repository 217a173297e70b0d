"""A recurrent policy lays a row of mosaic stones like a pattern card, by group-relative policy gradient.

condition: healthy
metric: matched max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

STONES, LENGTH, GROUP, CARDS = 6, 8, 12, 8


class Layer(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.card = nn.Linear(LENGTH * STONES, width)
        self.stone = nn.Embedding(STONES + 1, 16)
        self.cell = nn.GRUCell(16 + STONES, width)
        self.out = nn.Linear(width, STONES)

    def forward(self, cards, draw=True):
        """Lay one row per card; return the stones and the log-probability of each."""
        onehot = nn.functional.one_hot(cards, STONES).float()
        state = torch.tanh(self.card(onehot.flatten(1)))
        last = torch.full((len(cards),), STONES)
        stones, logs = [], []
        for place in range(LENGTH):
            state = self.cell(torch.cat([self.stone(last), onehot[:, place]], 1), state)
            choice = torch.distributions.Categorical(logits=self.out(state))
            last = choice.sample() if draw else choice.probs.argmax(1)
            stones.append(last)
            logs.append(choice.log_prob(last))
        return torch.stack(stones, 1), torch.stack(logs, 1)


def reward(stones, cards):
    """Stones that match the mirrored card, as a share between 0 and 1."""
    matches = (stones == (STONES - 1 - cards)).sum(1).float()
    return matches / LENGTH


model = Layer()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
test_cards = torch.randint(STONES, (100, LENGTH))

for step in range(500):
    cards = torch.randint(STONES, (CARDS, LENGTH)).repeat_interleave(GROUP, 0)
    stones, logs = model(cards)
    rewards = reward(stones, cards).view(CARDS, GROUP)
    advantage = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    loss = -(advantage.view(-1, 1) * logs).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step % 10 == 0:
        with torch.no_grad():
            laid, _ = model(test_cards, draw=False)
        matched = (laid == (STONES - 1 - test_cards)).float().mean().item()
        print(f"step {step}  loss {loss.item():.4f}  reward {rewards.mean().item():.3f}  matched {matched:.3f}")
