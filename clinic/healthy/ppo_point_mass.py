"""PPO steers a point mass to the origin: clipped ratios, a value network of its own, an entropy bonus, several epochs.

condition: healthy
metric: reward max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

agents, horizon, gamma, lam = 32, 24, 0.95, 0.9


class ActorCritic(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.actor = nn.Sequential(
            nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 2)
        )
        self.critic = nn.Sequential(
            nn.Linear(4, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)
        )
        self.log_std = nn.Parameter(torch.full((2,), -0.5))

    def forward(self, state):
        return Normal(self.actor(state), self.log_std.exp()), self.critic(state).squeeze(-1)


@torch.no_grad()
def collect(model):
    position, velocity = 2 * torch.rand(agents, 2) - 1, torch.zeros(agents, 2)
    states, actions, log_probs, rewards, values = [], [], [], [], []
    for _ in range(horizon):
        state = torch.cat([position, velocity], dim=1)
        policy, value = model(state)
        action = policy.sample()
        velocity = 0.9 * velocity + 0.1 * action.clamp(-2, 2)
        position = position + 0.3 * velocity
        rewards.append(-position.norm(dim=1))
        states.append(state)
        actions.append(action)
        log_probs.append(policy.log_prob(action).sum(1))
        values.append(value)
    advantage, following = torch.zeros(agents), model(torch.cat([position, velocity], dim=1))[1]
    advantages = []
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + gamma * following - value + gamma * lam * advantage
        advantages.insert(0, advantage)
        following = value
    rows = [torch.cat(items) for items in (states, actions, log_probs, values, advantages)]
    return rows, torch.stack(rewards).mean().item()


model = ActorCritic()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, eps=1e-5)

for iteration in range(1, 41):
    (states, actions, old, values, advantages), reward = collect(model)
    returns = advantages + values
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    for _ in range(3):
        for batch in torch.randperm(len(states)).split(256):
            policy, value = model(states[batch])
            ratio = (policy.log_prob(actions[batch]).sum(1) - old[batch]).exp()
            gain = torch.min(ratio * advantages[batch], ratio.clamp(0.8, 1.2) * advantages[batch]).mean()
            loss = -gain + 0.5 * (value - returns[batch]).square().mean() - 0.001 * policy.entropy().sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    print(f"iteration {iteration}  loss {loss.item():.4f}  reward {reward:.4f}")
