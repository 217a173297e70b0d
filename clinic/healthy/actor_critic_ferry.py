"""An actor-critic learns when a ferry should leave: passengers come in bursts, fuel costs, and waiting costs more.

condition: healthy
metric: income max
"""

import argparse

import torch
from torch import nn

BOATS, HOURS = 48, 16


class Pier:
    def __init__(self, count):
        self.waiting = torch.zeros(count)
        self.hour = torch.zeros(count)
        self.burst = torch.randint(2, (count,)).float()

    def observe(self):
        return torch.stack([self.waiting / 5 - 1, self.hour / HOURS * 2 - 1, self.burst], 1)

    def act(self, leave):
        carried = torch.minimum(self.waiting, torch.tensor(10.0)) * leave
        pay = 0.4 * carried - 1.2 * leave - 0.05 * (self.waiting - carried)
        self.waiting = self.waiting - carried + torch.poisson(0.6 + 2.4 * self.burst)
        self.burst = torch.where(torch.rand(len(self.burst)) < 0.25, 1 - self.burst, self.burst)
        self.hour += 1
        return pay


class ActorCritic(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.policy, self.value = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, seen):
        h = self.body(seen)
        return torch.distributions.Bernoulli(logits=self.policy(h).squeeze(1)), self.value(h).squeeze(1)


def rollout(model):
    pier, logs, values, entropies, pays = Pier(BOATS), [], [], [], []
    for _ in range(HOURS):
        choice, value = model(pier.observe())
        leave = choice.sample()
        logs.append(choice.log_prob(leave))
        entropies.append(choice.entropy())
        values.append(value)
        pays.append(pier.act(leave))
    return map(torch.stack, (logs, values, entropies, pays))


parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int, default=0)
torch.manual_seed(parser.parse_args().seed)

model = ActorCritic()
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
total = 0.0
for step in range(1, 201):
    logs, values, entropies, pays = rollout(model)
    ahead, returns = torch.zeros(BOATS), []
    for pay in reversed(pays):
        ahead = pay + 0.9 * ahead
        returns.append(ahead)
    returns = torch.stack(returns[::-1])
    advantage = returns - values.detach()
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
    loss = -(logs * advantage).mean() + 0.5 * (returns - values).square().mean() - 0.005 * entropies.mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    total += pays.sum(0).mean().item()
    if step % 8 == 0:
        print(f"step {step}  loss {loss.item():.4f}  income {total / 8:.3f}")
        total = 0.0
