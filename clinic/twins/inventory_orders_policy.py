"""How many crates should a shop order each morning? A policy learns from profits; state values are its baseline.

condition: healthy
metric: profit max
"""

import argparse

import torch
from torch import nn

ORDERS, DAYS = 9, 12


class Shop:
    """Many shops at once. Demand depends on the weekday and on the weather forecast; crates left over rot slowly."""

    def __init__(self, count, generator):
        self.count, self.generator = count, generator

    def reset(self):
        self.day = torch.randint(7, (self.count,), generator=self.generator)
        self.stock = torch.randint(5, (self.count,), generator=self.generator).float()
        self.sun = torch.rand(self.count, generator=self.generator)
        return self.state()

    def state(self):
        week = torch.nn.functional.one_hot(self.day, 7)
        return torch.cat([week, self.stock[:, None] / 5, self.sun[:, None]], 1).float()

    def step(self, order):
        self.stock = self.stock + order
        rate = 1 + 3 * self.sun + 2 * (self.day >= 5)
        demand = torch.poisson(rate, generator=self.generator)
        sold = torch.minimum(demand, self.stock)
        profit = 2.0 * sold - 0.9 * order - 0.3 * (self.stock - sold)
        self.stock = ((self.stock - sold) * 0.8).floor()
        self.day = (self.day + 1) % 7
        self.sun = torch.rand(self.count, generator=self.generator)
        return self.state(), profit


class ActorCritic(nn.Module):
    def __init__(self, inputs=9, hidden=64):
        super().__init__()
        self.policy = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, ORDERS))
        self.value = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, 1))

    def act(self, state):
        choice = torch.distributions.Categorical(logits=self.policy(state))
        order = choice.sample()
        return order, choice.log_prob(order)


def episode(model, shops, gamma=0.5):
    state, log_probs, values, profits = shops.reset(), [], [], []
    for _ in range(DAYS):
        order, log_prob = model.act(state)
        log_probs.append(log_prob)
        values.append(model.value(state))
        state, profit = shops.step(order)
        profits.append(profit)
    future, returns = torch.zeros(shops.count), []
    for profit in reversed(profits):
        future = profit + gamma * future
        returns.insert(0, future)
    return torch.cat(log_probs), torch.cat(values), torch.cat(returns), torch.stack(profits)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    shops = Shop(24, torch.Generator().manual_seed(seed))
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    recent = []
    for step in range(1, 241):
        log_probs, values, returns, profits = episode(model, shops)
        value_loss = nn.functional.mse_loss(values.squeeze(1), returns)
        advantage = returns - values.detach().squeeze(1)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        policy_loss = -(log_probs * advantage).mean()
        loss = policy_loss + 0.5 * value_loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent = [*recent[-9:], profits.mean().item()]
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.4f}  profit {sum(recent) / len(recent):.4f}")


if __name__ == "__main__":
    main()
