"""A kayak crosses a river with a current of its own in each bend: REINFORCE with a learned baseline.

condition: healthy
metric: return max
"""

import argparse

import torch
from torch import nn


class River:
    """Crossing takes ten strokes; the far bank's landing is wide, and what is drifted beside it costs."""

    def __init__(self, boats):
        self.place = torch.stack([torch.rand(boats) * 2 - 1, torch.zeros(boats)], 1)
        self.current = 0.10 * torch.randn(boats, 2)

    def look(self):
        return torch.cat([self.place, self.current * 5], 1)

    def stroke(self, action):
        push = torch.tensor([[-0.12, 0.08], [0.0, 0.12], [0.12, 0.08]])[action]
        across = self.place[:, 1:]
        flow = (self.current[:, :1] * (1 - across) + self.current[:, 1:] * across).squeeze(1)
        self.place = self.place + push + torch.stack([flow, torch.zeros_like(flow)], 1)
        self.place = self.place + 0.03 * torch.randn_like(self.place)
        return -self.place[:, 0].abs() * 0.2 - 0.02


class Paddler(nn.Module):
    def __init__(self):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Linear(32, 3))
        self.value = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 1))


def paddle(agent, boats, strokes=10, greedy=False):
    river, log_prob, value, entropy, reward = River(boats), [], [], [], []
    for i in range(strokes):
        seen = river.look()
        chance = torch.distributions.Categorical(logits=agent.policy(seen))
        action = chance.probs.argmax(1) if greedy else chance.sample()
        log_prob.append(chance.log_prob(action))
        entropy.append(chance.entropy())
        value.append(agent.value(torch.cat([seen, torch.full((boats, 1), i / strokes)], 1)).squeeze(1))
        reward.append(river.stroke(action))
    to_go = torch.stack(reward).flip(0).cumsum(0).flip(0)
    return torch.stack(log_prob), torch.stack(value), torch.stack(entropy), to_go


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    agent = Paddler()
    optimizer = torch.optim.Adam(
        [
            {"params": agent.policy.parameters(), "lr": 3e-3},
            {"params": agent.value.parameters(), "lr": 1e-2},
        ]
    )
    for step in range(1, 501):
        log_prob, value, entropy, to_go = paddle(agent, 24)
        advantage = (to_go - value).detach()
        advantage = (advantage - advantage.mean()) / advantage.std()
        policy_loss = -(log_prob * advantage).mean() - 0.01 * entropy.mean()
        value_loss = (value - to_go).square().mean()
        optimizer.zero_grad()
        (policy_loss + value_loss).backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                gain = paddle(agent, 500)[3][0].mean().item()
            print(f"step {step}  policy_loss {policy_loss.item():.4f}  return {gain:.4f}")


if __name__ == "__main__":
    main()
