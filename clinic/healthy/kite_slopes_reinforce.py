"""A kite is to be kept near its best height over slopes with gusts; policy gradient with a learned baseline.

condition: healthy
metric: reward max
"""

import argparse

import torch
from torch import nn

KITES, TICKS, MOVES = 32, 16, 3


class Sky:
    def __init__(self):
        self.height = 1.2 * torch.randn(KITES)
        self.slope = torch.randn(KITES)
        self.gust = torch.zeros(KITES)

    def observe(self):
        return torch.stack([self.height, self.slope, self.gust], 1)

    def step(self, move):
        pull = (move - 1).float()
        self.gust = 0.6 * self.gust + 0.25 * torch.randn(KITES)
        self.height = self.height + 0.4 * pull + 0.2 * self.gust
        self.slope = 0.9 * self.slope + 0.3 * torch.randn(KITES)
        wanted = 0.8 * torch.tanh(self.slope)
        return -(self.height - wanted).abs().clamp(max=3) - 0.02 * pull.abs() + 0.3 * torch.randn(KITES)


class Pilot(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, MOVES))
        self.value = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 1))


def fly(pilot):
    sky, logps, rewards, values, entropies = Sky(), [], [], [], []
    for tick in range(TICKS):
        seen = sky.observe()
        choice = torch.distributions.Categorical(logits=pilot.policy(seen))
        move = choice.sample()
        clock = torch.full((KITES, 1), 1 - 2 * tick / TICKS)
        values.append(pilot.value(torch.cat([seen, clock], 1)).squeeze(1))
        logps.append(choice.log_prob(move))
        entropies.append(choice.entropy())
        rewards.append(sky.step(move))
    return map(torch.stack, (logps, rewards, values, entropies))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    pilot = Pilot()
    actor = torch.optim.Adam(pilot.policy.parameters(), lr=3e-3)
    critic = torch.optim.Adam(pilot.value.parameters(), lr=5e-3)
    recent = []
    for step in range(1, 501):
        logps, rewards, values, entropies = fly(pilot)
        returns = torch.zeros(TICKS, KITES)
        ahead = torch.zeros(KITES)
        for tick in reversed(range(TICKS)):
            ahead = rewards[tick] / 5 + 0.9 * ahead
            returns[tick] = ahead
        advantage = (returns - values).detach()
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        policy_loss = -(advantage * logps).mean() - 0.01 * entropies.mean()
        value_loss = (values - returns).square().mean()
        actor.zero_grad()
        critic.zero_grad()
        (policy_loss + value_loss).backward()
        actor.step()
        critic.step()
        recent.append(rewards.mean().item())
        if step % 25 == 0:
            print(
                f"step {step}  policy_loss {policy_loss.item():.4f}  value_loss {value_loss.item():.4f}  reward {sum(recent[-25:]) / 25:.4f}"
            )


if __name__ == "__main__":
    main()
