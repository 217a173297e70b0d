"""A lamp follows a moving actor: an actor-critic with a deterministic policy, replay and slowly following copies.

condition: healthy
metric: cost min
"""

import argparse
import copy

import torch
import torch.nn.functional as F
from torch import nn


class Stage:
    """Position and speed of many lamps, and where each of them should shine."""

    def __init__(self, count, rng):
        self.count, self.rng = count, rng
        self.state = self.fresh(count)

    def fresh(self, count):
        return torch.randn(count, 3, generator=self.rng) * torch.tensor([1.0, 0.3, 1.0])

    def step(self, action):
        place, speed, goal = self.state.unbind(1)
        speed = 0.7 * speed + 0.5 * action.squeeze(1)
        place = place + 0.5 * speed
        goal = 0.95 * goal + 0.15 * torch.randn(self.count, generator=self.rng)
        self.state = torch.stack([place, speed, goal], 1)
        reward = -((place - goal) ** 2).clamp(max=4) - 0.05 * action.squeeze(1) ** 2
        return self.state, reward

    def restart(self, share=0.05):
        again = torch.rand(self.count, generator=self.rng) < share
        self.state = torch.where(again.unsqueeze(1), self.fresh(self.count), self.state)


def network(inputs, outputs, *last):
    return nn.Sequential(nn.Linear(inputs, 48), nn.ReLU(), nn.Linear(48, 48), nn.ReLU(), nn.Linear(48, outputs), *last)


def follow(slow, fast, rate=0.02):
    with torch.no_grad():
        for a, b in zip(slow.parameters(), fast.parameters(), strict=True):
            a.lerp_(b, rate)


def mean_cost(actor, seed=5):
    stage = Stage(200, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return -sum(stage.step(actor(stage.state))[1].mean().item() for _ in range(25)) / 25


def main(seed):
    torch.manual_seed(seed)
    stage = Stage(16, torch.Generator().manual_seed(seed))
    actor, critic = network(3, 1, nn.Tanh()), network(4, 1)
    slow_actor, slow_critic = copy.deepcopy(actor), copy.deepcopy(critic)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=1e-3)
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3)
    past = []
    for step in range(1, 901):
        before = stage.state
        with torch.no_grad():
            action = (actor(before) + 0.3 * torch.randn(16, 1)).clamp(-1, 1)
        after, reward = stage.step(action)
        past.append((before, action, reward, after))
        stage.restart()
        rows = torch.randint(len(past), (6,)).tolist()
        s, a, r, s2 = (torch.cat(parts) for parts in zip(*(past[i] for i in rows), strict=True))
        with torch.no_grad():
            target = r + 0.9 * slow_critic(torch.cat([s2, slow_actor(s2)], 1)).squeeze(1)
        critic_loss = F.mse_loss(critic(torch.cat([s, a], 1)).squeeze(1), target)
        critic_optimizer.zero_grad()
        critic_loss.backward()
        critic_optimizer.step()
        actor_loss = -critic(torch.cat([s, actor(s)], 1)).mean()
        actor_optimizer.zero_grad()
        actor_loss.backward()
        actor_optimizer.step()
        follow(slow_actor, actor)
        follow(slow_critic, critic)
        if step % 30 == 0:
            cost = mean_cost(actor)
            print(f"step {step}  critic {critic_loss.item():.4f}  actor {actor_loss.item():.3f}  cost {cost:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
