"""A2C keeps a paddle under a ball on a short track; actor and critic are networks of their own.

condition: broadcast-loss
accepts: broadcast-loss
allows: stalled
metric: value_error min
"""

import argparse

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

TRACKS, HORIZON, GAMMA = 64, 12, 0.95


class Track:
    """Ball and paddle on [-1, 1]; the reward is high where they meet. Each track has a wind of its own."""

    def __init__(self, count):
        self.state = torch.rand(count, 3) * 2 - 1

    def step(self, action):
        ball, paddle, wind = self.state.unbind(1)
        ball = (ball + 0.06 * wind + 0.02 * torch.randn(len(ball))).clamp(-1, 1)
        paddle = (paddle + 0.15 * (action - 1)).clamp(-1, 1)
        self.state = torch.stack([ball, paddle, wind], 1)
        return 1 - 2 * (ball - paddle).abs()


actor = nn.Sequential(nn.Linear(3, 48), nn.Tanh(), nn.Linear(48, 3))
critic = nn.Sequential(nn.Linear(3, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters()], lr=3e-3)
loss_fn = nn.MSELoss()

for update in range(1, 301):
    track = Track(TRACKS)
    states, log_probs, entropies, rewards = [], [], [], []
    for _ in range(HORIZON):
        states.append(track.state)
        policy = torch.distributions.Categorical(logits=actor(track.state))
        action = policy.sample()
        log_probs.append(policy.log_prob(action))
        entropies.append(policy.entropy())
        rewards.append(track.step(action))
    with torch.no_grad():
        ahead = critic(track.state).squeeze(1)
    returns = []
    for reward in reversed(rewards):
        ahead = reward + GAMMA * ahead
        returns.insert(0, ahead)
    returns = torch.stack(returns).flatten()
    values = critic(torch.cat(states))
    advantage = returns - values.detach().squeeze(1)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
    actor_loss = -(advantage * torch.stack(log_probs).flatten()).mean() - 0.01 * torch.stack(entropies).mean()
    critic_loss = loss_fn(values, returns)
    loss = actor_loss + 0.5 * critic_loss
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if update % 10 == 0:
        value_error = (values.detach().flatten() - returns).square().mean().item() / returns.var().item()
        reward = torch.stack(rewards).mean().item()
        print(f"step {update}  actor {actor_loss.item():+.4f}  value_error {value_error:.4f}  reward {reward:.4f}")
