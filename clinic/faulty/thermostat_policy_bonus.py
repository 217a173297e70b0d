"""An advantage actor-critic heats a room: five settings of a valve, thirty rooms at a time, an entropy bonus.

condition: loss-term-imbalance
accepts: loss-term-imbalance
allows: stalled, learning-rate-too-low
metric: score max
"""

import argparse
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical


@dataclass
class Options:
    rooms: int = 32
    horizon: int = 8
    gamma: float = 0.8
    value_weight: float = 0.5
    entropy_weight: float = 1.0
    lr: float = 3e-3


class Rooms:
    def __init__(self, count):
        self.count = count
        self.reset()

    def reset(self):
        self.heat, self.outside = 2 * torch.randn(self.count), torch.randn(self.count)
        self.wish = torch.randn(self.count)

    def observe(self):
        return torch.stack([self.heat, self.outside, self.wish], 1)

    def act(self, valve):
        self.heat = (
            self.heat + 0.6 * (valve.float() - 2) + 0.1 * (self.outside - self.heat) + 0.1 * torch.randn(self.count)
        )
        self.outside = 0.95 * self.outside + 0.2 * torch.randn(self.count)
        return torch.exp(-(self.heat - self.wish).abs())


class ActorCritic(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.actor, self.critic = nn.Linear(width, 5), nn.Linear(width, 1)

    def forward(self, seen):
        h = self.trunk(seen)
        return Categorical(logits=self.actor(h)), self.critic(h).squeeze(1)


def rollout(model, rooms, options):
    log_probs, values, entropies, rewards = [], [], [], []
    for _ in range(options.horizon):
        policy, value = model(rooms.observe())
        valve = policy.sample()
        rewards.append(rooms.act(valve))
        log_probs.append(policy.log_prob(valve))
        values.append(value)
        entropies.append(policy.entropy())
    with torch.no_grad():
        ahead = model(rooms.observe())[1]
    returns = []
    for reward in reversed(rewards):
        ahead = reward + options.gamma * ahead
        returns.insert(0, ahead)
    return (torch.stack(part) for part in (log_probs, values, entropies, returns, rewards))


def main(seed, options):
    torch.manual_seed(seed)
    model, rooms = ActorCritic(), Rooms(options.rooms)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=options.lr, alpha=0.99)
    recent = 0.0
    for step in range(1, 301):
        if step % 10 == 1:
            rooms.reset()
        log_probs, values, entropies, returns, rewards = rollout(model, rooms, options)
        gain = (log_probs * (returns - values).detach()).mean()
        loss = -gain + options.value_weight * F.mse_loss(values, returns) - options.entropy_weight * entropies.mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        recent += rewards.mean().item() / 10
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.4f}  score {recent:.4f}")
            recent = 0.0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed, Options())
