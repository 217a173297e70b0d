"""A vending machine at a lake decides which of six products it offers at eye level; tastes move with the year.

condition: healthy
metric: profit max
"""

import argparse
import math

import torch
from torch import nn
from torch.distributions import Categorical

PRODUCTS, DAYPARTS, WEATHERS, STEPS = 6, 6, 4, 1200


class Lake:
    """What a visitor pays for a product depends on daypart and weather, and drifts with the season."""

    def __init__(self):
        self.summer = torch.randn(DAYPARTS, WEATHERS, PRODUCTS)
        self.winter = torch.randn(DAYPARTS, WEATHERS, PRODUCTS)

    def visitors(self, count):
        return torch.randint(DAYPARTS, (count,)), torch.randint(WEATHERS, (count,))

    def margin(self, daypart, weather, step):
        year = min(1.0, max(0.0, step / STEPS - 0.35) / 0.4) * math.pi / 2
        return (math.cos(year) * self.summer + math.sin(year) * self.winter)[daypart, weather]


class Policy(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.daypart = nn.Embedding(DAYPARTS, width)
        self.weather = nn.Embedding(WEATHERS, width)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Linear(width, PRODUCTS))

    def forward(self, daypart, weather):
        return self.layers(torch.tanh(self.daypart(daypart) + self.weather(weather)))


def entropy_weight(step):
    return 0.5


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
torch.manual_seed(args.seed)

lake = Lake()
policy = Policy()
optimizer = torch.optim.Adam(policy.parameters(), lr=0.01)
history = []

for step in range(1, STEPS + 1):
    daypart, weather = lake.visitors(192)
    choice = Categorical(logits=policy(daypart, weather))
    action = choice.sample()
    margin = lake.margin(daypart, weather, step)
    paid = margin.gather(1, action.unsqueeze(1)).squeeze(1) + 0.2 * torch.randn(192)

    advantage = (paid - paid.mean()) / (paid.std() + 1e-6)
    gain = (advantage * choice.log_prob(action)).mean() + entropy_weight(step) * choice.entropy().mean()
    loss = -gain
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

    history.append(paid.mean().item())
    if step % 40 == 0:
        recent = sum(history[-40:]) / 40
        print(f"step {step}  profit {recent:.4f}  entropy {choice.entropy().mean().item():.3f}")
