"""REINFORCE plays a game of drawing cards: one more, or stop? Returns are plus or minus one and mostly luck.

condition: healthy
infos: stalled
metric: average max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Bernoulli

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)


def cards(count):
    return torch.randint(1, 14, (count,)).clamp(max=10)


def bank(count):
    """What the bank holds in the end: it draws below 17; more than 21 counts as nothing."""
    total = cards(count) + cards(count)
    while (total < 17).any():
        total = torch.where(total < 17, total + cards(count), total)
    return torch.where(total > 21, torch.zeros_like(total), total)


def play(model, count):
    """Hands played to their end: the sum of log-probabilities of each, and what each won."""
    total, playing = cards(count) + cards(count), torch.ones(count, dtype=torch.bool)
    log_prob = torch.zeros(count)
    for _ in range(8):
        choice = Bernoulli(logits=model((total.float().unsqueeze(1) - 14) / 5).squeeze(1))
        draw = choice.sample()
        log_prob = log_prob + torch.where(playing, choice.log_prob(draw), torch.zeros(count))
        total = torch.where(playing & (draw > 0), total + cards(count), total)
        playing = playing & (draw > 0) & (total <= 21)
    mine = torch.where(total > 21, torch.full_like(total, -1), total)
    return log_prob, torch.sign((mine - bank(count)).float())


model = nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))
nn.init.constant_(model[2].bias, 1.0)
optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
baseline, average = 0.0, None

for step in range(1, 401):
    log_prob, won = play(model, 48)
    loss = -((won - baseline) * log_prob).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    baseline = 0.95 * baseline + 0.05 * won.mean().item()
    average = won.mean().item() if average is None else 0.96 * average + 0.04 * won.mean().item()
    if step % 16 == 0:
        print(f"step {step}  loss {loss.item():+.4f}  won {won.mean().item():+.3f}  average {average:.4f}")
