"""A keeper turns a lamp towards ships: policy gradient with a running baseline; returns are noisy from night to night.

condition: healthy
metric: reward max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

SECTORS, SHIPS = 6, 48


def night(count):
    """Where a ship is heard from; noise in every ear; some nights bring fog that halves every reward."""
    sector = torch.randint(SECTORS, (count,))
    heard = torch.randn(count, SECTORS)
    heard[torch.arange(count), sector] += 2.2
    return heard, sector, 0.5 + 0.5 * (torch.rand(()) > 0.3).float()


def pay(turned, sector, fog):
    off = (turned - sector).abs()
    off = torch.minimum(off, SECTORS - off)
    return fog * (1.0 * (off == 0) + 0.3 * (off == 1)) + 0.3 * torch.randn(len(off))


policy = nn.Sequential(nn.Linear(SECTORS, 48), nn.Tanh(), nn.Linear(48, SECTORS))
optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
baseline, average = 0.0, None

for step in range(1, 1201):
    heard, sector, fog = night(SHIPS)
    choice = torch.distributions.Categorical(logits=policy(heard))
    turned = choice.sample()
    pays = pay(turned, sector, fog)
    loss = -((pays - baseline) * choice.log_prob(turned)).mean() - 0.005 * choice.entropy().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    baseline = 0.95 * baseline + 0.05 * pays.mean().item()
    average = baseline if average is None else 0.9 * average + 0.1 * pays.mean().item()
    if step % 40 == 0:
        print(f"step {step}  loss {loss.item():+.4f}  reward {average:.4f}")
