"""An actor learns to slide to the gate of an ice rink; the loss of a policy gradient need not fall.

condition: healthy
metric: return max
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

SKATERS, MOVES, DISCOUNT = 64, 24, 0.97
PUSH = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def network(outputs):
    return nn.Sequential(nn.Linear(6, 48), nn.Tanh(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, outputs))


actor, critic = network(len(PUSH)), network(1)
optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)


def skate():
    """Skaters start anywhere, slide on, and are paid for coming nearer to the gate and for standing in it."""
    place, speed = 2 * torch.rand(SKATERS, 2) - 1, torch.zeros(SKATERS, 2)
    gate = 1.2 * torch.rand(SKATERS, 2) - 0.6
    seen, chosen, paid = [], [], []
    for _ in range(MOVES):
        view = torch.cat([place - gate, 4 * speed, gate], 1)
        with torch.no_grad():
            move = torch.distributions.Categorical(logits=actor(view)).sample()
        before = (place - gate).norm(dim=1)
        speed = 0.92 * speed + 0.05 * PUSH[move] + 0.005 * torch.randn(SKATERS, 2)
        place = (place + speed).clamp(-1.5, 1.5)
        after = (place - gate).norm(dim=1)
        seen.append(view)
        chosen.append(move)
        paid.append(before - after + 0.1 * (after < 0.15))
    return torch.stack(seen), torch.stack(chosen), torch.stack(paid)


for step in range(300):
    seen, chosen, paid = skate()
    to_come, running = torch.zeros_like(paid), torch.zeros(SKATERS)
    for move in reversed(range(MOVES)):
        running = paid[move] + DISCOUNT * running
        to_come[move] = running
    value = critic(seen).squeeze(-1)
    better = (to_come - value).detach()
    better = better / (better.std() + 1e-4)
    policy = torch.distributions.Categorical(logits=actor(seen))
    loss = (
        -(policy.log_prob(chosen) * better).mean() + (value - to_come).pow(2).mean() - 0.005 * policy.entropy().mean()
    )
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(actor.parameters(), 2.0)
    optimizer.step()
    if step % 10 == 0:
        print(f"step {step}  loss {loss.item():.4f}  return {paid.sum(0).mean().item():.4f}")
