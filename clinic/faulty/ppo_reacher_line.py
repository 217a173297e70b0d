"""PPO moves a cart on a line to its mark; policy and value share a trunk.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, always-clipping, learning-rate-too-low, divergence
metric: return max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Normal

HORIZON, CARTS = 30, 32


class ActorCritic(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.mean, self.value = nn.Linear(width, 1), nn.Linear(width, 1)
        self.log_std = nn.Parameter(torch.tensor(-0.5))

    def forward(self, state):
        h = self.trunk(state)
        return Normal(self.mean(h).squeeze(-1), self.log_std.exp()), self.value(h).squeeze(-1)


@torch.no_grad()
def rollout(model, price=200.0):
    place, speed = 2 * torch.rand(CARTS) - 1, torch.zeros(CARTS)
    mark = 2 * torch.rand(CARTS) - 1
    log = []
    for _ in range(HORIZON):
        state = torch.stack([place, speed, mark], 1)
        policy, value = model(state)
        action = policy.sample()
        speed = 0.8 * speed + 0.15 * action.clamp(-1, 1)
        place = place + speed
        reward = -price * (place - mark).abs()
        log.append((state, action, policy.log_prob(action), value, reward))
    states, actions, logps, values, rewards = (torch.stack(part) for part in zip(*log))
    returns, ahead = torch.zeros_like(rewards), torch.zeros(CARTS)
    for t in reversed(range(HORIZON)):
        ahead = rewards[t] + 0.9 * ahead
        returns[t] = ahead
    return [p.flatten(0, 1) for p in (states, actions, logps, returns, returns - values)], rewards.sum(0).mean() / price


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for round_ in range(1, 61):
        (states, actions, logps, returns, advantage), score = rollout(model)
        advantage = (advantage - advantage.mean()) / advantage.std()
        for _ in range(4):
            for rows in torch.randperm(len(states)).split(240):
                policy, value = model(states[rows])
                ratio = (policy.log_prob(actions[rows]) - logps[rows]).exp()
                gain = torch.min(ratio * advantage[rows], ratio.clamp(0.8, 1.2) * advantage[rows]).mean()
                loss = -gain + 0.5 * (value - returns[rows]).square().mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 5.0)
                optimizer.step()
        if round_ % 2 == 0:
            print(f"step {round_}  loss {loss.item():.4f}  return {score.item():.4f}")


if __name__ == "__main__":
    main()
