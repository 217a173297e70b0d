"""REINFORCE with a running baseline on a cart-pole written out in torch; the loss is noise, the return is what counts.

condition: healthy
metric: return max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

GRAVITY, CART, POLE, LENGTH, FORCE, TAU = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02


def advance(state, action):
    x, v, theta, omega = state.unbind(1)
    force = torch.where(action == 1, FORCE, -FORCE)
    sin, cos = theta.sin(), theta.cos()
    push = (force + POLE * LENGTH * omega**2 * sin) / (CART + POLE)
    turn = (GRAVITY * sin - cos * push) / (LENGTH * (4 / 3 - POLE * cos**2 / (CART + POLE)))
    slide = push - POLE * LENGTH * turn * cos / (CART + POLE)
    return torch.stack([x + TAU * v, v + TAU * slide, theta + TAU * omega, omega + TAU * turn], dim=1)


def rollout(policy, episodes=16, horizon=100):
    state = 0.1 * torch.rand(episodes, 4) - 0.05
    alive = torch.ones(episodes)
    log_probs, masks = [], []
    for _ in range(horizon):
        distribution = Categorical(logits=policy(state))
        action = distribution.sample()
        log_probs.append(distribution.log_prob(action))
        masks.append(alive)
        state = advance(state, action)
        alive = alive * ((state[:, 0].abs() < 2.4) & (state[:, 2].abs() < 0.21)).float()
        if not alive.any():
            break
    return torch.stack(log_probs), torch.stack(masks)


policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
gamma, smooth = 0.98, None

for iteration in range(1, 81):
    log_probs, masks = rollout(policy)
    returns = torch.zeros_like(masks)
    future = torch.zeros(masks.shape[1])
    for t in reversed(range(len(masks))):
        future = masks[t] + gamma * future
        returns[t] = future
    mean = (returns * masks).sum() / masks.sum()
    std = (((returns - mean) ** 2 * masks).sum() / masks.sum()).sqrt()
    advantages = (returns - mean) / (std + 1e-6)
    loss = -(log_probs * advantages * masks).sum() / masks.sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    length = masks.sum(0).mean().item()
    smooth = length if smooth is None else 0.8 * smooth + 0.2 * length
    if iteration % 2 == 0:
        print(f"iteration {iteration}  loss {loss.item():.3f}  return {smooth:.1f}")
