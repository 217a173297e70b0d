"""Groups of attempts teach a crane's policy which of its slots to fill, one after another.

condition: healthy
metric: score max
"""

import argparse

import torch
from torch import nn
from torch.distributions import Categorical

SLOTS, LOADS, YARDS, GROUP = 4, 6, 24, 8


class Crane(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(SLOTS * LOADS, width),
            nn.Tanh(),
            nn.Linear(width, width),
            nn.Tanh(),
            nn.Linear(width, SLOTS * LOADS),
        )

    def forward(self, yard):
        return self.net(yard).view(-1, SLOTS, LOADS)


def yards(n):
    return torch.randn(n, SLOTS * LOADS)


def payoff(yard, choice):
    value = yard.view(-1, SLOTS, LOADS).gather(2, choice[..., None]).squeeze(2)
    clash = (choice[:, 1:] == choice[:, :-1]).float().sum(1)
    return value.mean(1) - 0.5 * clash


def train(policy, rounds):
    optimizer = torch.optim.Adam(policy.parameters(), lr=3e-3)
    exam = yards(1000)
    temperature = 1.0
    for step in range(1, rounds + 1):
        yard = yards(YARDS).repeat_interleave(GROUP, 0)
        with torch.no_grad():
            old = policy(yard)
            choice = Categorical(logits=old / temperature).sample()
            before = Categorical(logits=old).log_prob(choice).sum(1)
        reward = payoff(yard, choice).view(YARDS, GROUP)
        advantage = ((reward - reward.mean(1, keepdim=True)) / (reward.std(1, keepdim=True) + 1e-4)).flatten()
        for _ in range(2):
            ratio = (Categorical(logits=policy(yard)).log_prob(choice).sum(1) - before).clamp(-5, 5).exp()
            loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        temperature = max(1.0, temperature * 0.96)
        if step % 20 == 0:
            with torch.no_grad():
                score = payoff(exam, policy(exam).argmax(-1)).mean().item()
            print(f"step {step}  reward {reward.mean().item():.4f}  score {score:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    train(Crane(), 900)
